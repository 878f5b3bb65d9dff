"""What of a trace goes from the request threads to the worker: its root ended, a part of it, a late span. Data."""

from __future__ import annotations

from contextvars import Context as RequestContext
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan

from slotel.runtime.requests.local_roots import LocalRoot


class Trace:
    """What the sink knows of one entry.

    Attributes:
        ships: it is sampled, or was kept. kept: why. error: a span failed. lost: spans that were not held.
        inherited: it began before a fork, in the parent process. built: its transaction is under way.
        incoming: the root's parent context, when a caller sent one.
    """

    __slots__ = ("built", "error", "incoming", "inherited", "kept", "lost", "sampled", "ships")

    def __init__(self, sampled: bool, incoming: Context | None) -> None:
        self.sampled = sampled
        self.ships = sampled
        self.incoming = incoming
        self.kept: str | None = None
        self.error = False
        self.lost = 0
        self.inherited = False
        self.built = False

    def take_lost(self) -> int:
        """Return how many spans were not held, to be counted by the caller, once."""
        lost, self.lost = self.lost, 0
        return lost


@dataclass(slots=True)
class Ended:
    """A trace whose root ended at a monotonic time; `context` is the request's."""

    local_root: LocalRoot
    root: ReadableSpan
    context: RequestContext
    at: float


@dataclass(slots=True)
class PartialTrace:
    """Ended spans of a root that is still open."""

    local_root: LocalRoot
    spans: list[ReadableSpan]
    context: RequestContext


@dataclass(slots=True)
class Late:
    """A span that ended after its root, or whose root is not known."""

    local_root: LocalRoot | None
    span: ReadableSpan
    context: RequestContext
