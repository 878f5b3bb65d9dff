"""What of a trace goes from the request threads to the worker: its root ended, a part of it, a late span. Data."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import Context as RequestContext
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from sentry_sdk.scope import Scope

from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.transactions.names import Name
from slotel.runtime.upstream.sentry.profiles import TransactionProfile
from slotel.runtime.upstream.sentry.scope import UnusedScope, as_it_is


class Scopes(NamedTuple):
    """The Sentry scopes that hold what the code of a request said: user, tags, extra, contexts."""

    isolation: Scope | UnusedScope
    current: Scope | UnusedScope

    def at_end(self) -> Scopes:
        """Return them as they are now, at the end of the request; of one that nobody used the copy is made later."""
        isolation, current = self
        return Scopes(
            as_it_is(isolation) if isinstance(isolation, Scope) else isolation,
            as_it_is(current) if isinstance(current, Scope) else current,
        )

    def made(self) -> tuple[Scope, Scope]:
        """Return them as sentry-sdk knows scopes."""
        isolation, current = self
        return (
            isolation.copied() if isinstance(isolation, UnusedScope) else isolation,
            current.copied() if isinstance(current, UnusedScope) else current,
        )

    @classmethod
    def copied(cls) -> Scopes:
        """Return copies of the active scopes, as the code that runs next goes on changing them."""
        return cls(copy(Scope.get_isolation_scope()), copy(Scope.get_current_scope()))


class Trace:
    """What the sink knows of one local root.

    Attributes:
        is_sent: it is sampled, or was kept. kept: why. error: a span failed. lost: spans that were not held.
        inherited: it began before a fork, in the parent process. built: its transaction is under way.
        incoming: the root's parent context, when a caller sent one.
        scopes: a request's own, until it ends. thread: where it began, or ended, if it was kept.
        name_of_code: of what answered it, where the app wants such names. carrier: its ASGI scope, until it ends.
        profile: of its code, if the app wants one.
    """

    __slots__ = (
        "built",
        "carrier",
        "error",
        "incoming",
        "inherited",
        "is_sent",
        "kept",
        "lost",
        "name_of_code",
        "profile",
        "sampled",
        "scopes",
        "thread"
    )  # fmt: skip

    def __init__(self, sampled: bool, incoming: Context | None) -> None:
        self.sampled = sampled
        self.is_sent = sampled
        self.incoming = incoming
        self.scopes: Scopes | None = None
        self.thread = threading.current_thread() if sampled else None
        self.kept: str | None = None
        self.name_of_code: Name | None = None
        self.profile: TransactionProfile | None = None
        self.carrier: Mapping[str, Any] | None = None
        self.error = False
        self.lost = 0
        self.inherited = False
        self.built = False

    def thread_data(self) -> dict[str, str]:
        """Return what a transaction says of its thread."""
        thread = self.thread
        return {} if thread is None else {"thread.id": str(thread.ident), "thread.name": thread.name}

    def take_lost(self) -> int:
        """Return how many spans were not held, to be counted by the caller, once."""
        lost, self.lost = self.lost, 0
        return lost


@dataclass(slots=True)
class EndedTrace:
    """A trace whose root ended at a monotonic time; `context` and `scopes` are the request's."""

    local_root: LocalRoot
    root: ReadableSpan
    context: RequestContext
    at: float
    scopes: Scopes


@dataclass(slots=True)
class PartialTrace:
    """Ended spans of a root that is still open."""

    local_root: LocalRoot
    spans: list[ReadableSpan]
    context: RequestContext
    scopes: Scopes


@dataclass(slots=True)
class LateSpan:
    """A span that ended after its root, or whose root is not known."""

    local_root: LocalRoot | None
    span: ReadableSpan
    context: RequestContext
    scopes: Scopes
