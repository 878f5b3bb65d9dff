"""The data that request threads hand to the worker: a trace whose root ended, a part of an open one, a late span."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import Context as RequestContext
from contextvars import copy_context
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from sentry_sdk.scope import Scope

from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.protocols import Dropped
from slotel.runtime.sentry.transactions.names import Name
from slotel.runtime.upstream.sentry.profiles import TransactionProfile
from slotel.runtime.upstream.sentry.scope import UnusedScope, snapshot_of


class Scopes(NamedTuple):
    """The Sentry scopes of a request, in which its code sets data: user, tags, extra, contexts."""

    isolation: Scope
    current: Scope

    def at_end(self) -> Said:
        """Return what was said until the end of the request, on its thread. An unused scope is copied later."""
        return Said(snapshot_of(self.isolation), snapshot_of(self.current), copy_context())


class Said(NamedTuple):
    """What the code of a request has said: its Sentry scopes, and its context variables."""

    isolation: Scope | UnusedScope
    current: Scope | UnusedScope
    context: RequestContext

    def scopes(self) -> tuple[Scope, Scope]:
        """Return the scopes as sentry-sdk's."""
        isolation, current, _ = self
        return (
            isolation.copied() if isinstance(isolation, UnusedScope) else isolation,
            current.copied() if isinstance(current, UnusedScope) else current,
        )

    @classmethod
    def until_now(cls) -> Said:
        """Return copies of the active scopes, which later code may change, and of the context."""
        return cls(copy(Scope.get_isolation_scope()), copy(Scope.get_current_scope()), copy_context())


class Trace:
    """The sink's state of one local root.

    Attributes:
        is_sent: it is sampled or kept. kept: why it is kept. error: a span failed. lost: spans that were not buffered.
        inherited: it began in the parent process, before a fork. built: its transaction was built.
        incoming: the root's parent context, if a caller sent one.
        scopes: the request's own, until it ends. thread: the one it began on, or ended on if it was kept.
        name_of_code: of the code that served it, if the app wants such names. carrier: its ASGI scope, until it ends.
        profile: its profile, if the app wants one.
    """

    __slots__ = (
        "built", "carrier", "error", "incoming", "inherited", "is_sent", "kept", "lost", "name_of_code", "profile",
        "sampled", "scopes", "thread",
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
        """Return the thread's fields of a transaction."""
        thread = self.thread
        return {} if thread is None else {"thread.id": str(thread.ident), "thread.name": thread.name}

    def count_lost(self, dropped: Dropped) -> None:
        """Count the spans that were not buffered as dropped, once."""
        if self.lost:
            lost, self.lost = self.lost, 0
            dropped("spans", "overloaded", lost)


@dataclass(slots=True)
class EndedTrace:
    """A trace whose root has ended, `at` in monotonic seconds."""

    local_root: LocalRoot
    root: ReadableSpan
    at: float
    said: Said


@dataclass(slots=True)
class PartialTrace:
    """Ended spans of a root that is still open."""

    local_root: LocalRoot
    spans: list[ReadableSpan]
    said: Said


@dataclass(slots=True)
class LateSpan:
    """A span that ended after its root, or whose root is not known."""

    local_root: LocalRoot | None
    span: ReadableSpan
    said: Said
