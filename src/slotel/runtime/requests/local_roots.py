"""The open spans of a process, and the local root of each: one object for all that the spans of a request share.

Components keep their own state on the local root. Nothing is decided here.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.otel.context import is_remote, span_id_of

if TYPE_CHECKING:
    from slotel.runtime.requests.decision import Decision
    from slotel.runtime.requests.served import ServedRequest

MAX_OPEN: Final = 50_000
"""Open spans that are remembered. Beyond this the oldest is forgotten, so that spans without an end fill no memory."""


def _handled() -> int:
    error = sys.exc_info()[1]
    return 0 if error is None else id(error)


@dataclass(slots=True, eq=False, repr=False)
class LocalRoot:
    """The local root span of a part of a trace, and what its spans share.

    Args:
        span: the live root; its context, name and attributes are read at any time.

    Attributes:
        tags: custom tags, set at run time for the whole local root.
        ended: the root has ended; spans that end now are late.
        decision: its outcome; None until it ends.
        client_left: its client has closed the websocket.
        expected: the job declares this failure as expected (Celery's `throws`).
        served: the request as its server sees it, if a layer observes it.
        handled: id of the exception that was being handled when the root started; it cannot be what failed the root.
        scopes: the request's own Sentry scopes; None after its end.
        spans, state: used by the component that exports.
    """

    span: Span
    root_id: int
    tags: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    decision: Decision | None = None
    served: ServedRequest | None = None
    scopes: Any = None
    expected: bool = False
    client_left: bool = False
    handled: int = field(default_factory=_handled)
    spans: list[ReadableSpan] = field(default_factory=list)
    state: Any = None


class OpenSpans:
    """The open spans, by span id.

    Every method is O(1): an OrderedDict finds its oldest item at once, a plain dict would scan the deleted entries
    before it. Each operation on the dictionary is atomic, so there is no lock.

    Args:
        forgotten: called with the number of spans that were forgotten because more than `max_open` were open.

    Attributes:
        inherited: ids of the spans that were open when this process was forked. The parent counts and exports them.
        told: id of a local root → called with the id when it ends.
    """

    def __init__(
        self, max_open: int = MAX_OPEN, forgotten: Callable[[int], object] = lambda _count: None
    ) -> None:
        self._open: OrderedDict[int, LocalRoot] = OrderedDict()
        self._max_open = max_open
        self._forgotten = forgotten
        self.inherited: frozenset[int] = frozenset()
        self.told: dict[int, Callable[[int], object]] = {}
        PROCESS.register("open_spans", after_fork_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self.inherited = frozenset(self._open)
        self.told = {}

    def open(self, span: Span) -> LocalRoot:
        """Return the local root of a span that starts: its local parent's, or a new one."""
        span_id = span_id_of(span.context)
        parent = span.parent
        opened = self._open
        local_root = None
        if parent is not None and not is_remote(parent):
            local_root = opened.get(span_id_of(parent))
        if local_root is None:
            local_root = LocalRoot(span, span_id)
        opened[span_id] = local_root
        if len(opened) > self._max_open:
            self._forget_oldest()
        return local_root

    def close(self, span_id: int) -> LocalRoot | None:
        """Return the local root of a span that ends; None if it was forgotten or never seen."""
        local_root = self._open.pop(span_id, None)
        if local_root is not None and local_root.root_id == span_id:
            local_root.ended = True
            if self.told and (tell := self.told.pop(span_id, None)) is not None:
                tell(span_id)
        return local_root

    def expect_failure(self) -> None:
        """Note on the local root of the current span that its failure is expected and does not count as one."""
        local_root = self.of(trace.get_current_span().get_span_context().span_id)
        if local_root is not None:
            local_root.expected = True

    def note_client_left(self) -> None:
        """Note on the local root of the current span that its client has closed the socket."""
        local_root = self.of(trace.get_current_span().get_span_context().span_id)
        if local_root is not None:
            local_root.client_left = True

    def of(self, span_id: int) -> LocalRoot | None:
        """Return the local root of an open span."""
        return self._open.get(span_id)

    def local_roots(self) -> list[LocalRoot]:
        """Return the local roots that were open at one time, and are this process's own."""
        opened = self._open.copy()
        return [root for key, root in opened.items() if root.root_id == key and key not in self.inherited]

    def __len__(self) -> int:
        """Return how many spans are open."""
        return len(self._open)

    def _forget_oldest(self) -> None:
        try:
            self._open.popitem(last=False)
        except KeyError:  # other threads ended them all
            return
        self._forgotten(1)
