"""A request's own Sentry scopes, which become copies when they are first used: most requests never use theirs.

A scope whose class the app has defined is copied at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, TypeAlias

from sentry_sdk.scope import Scope

from slotel.runtime.upstream.probe import SLOWER, Probe

Prepare: TypeAlias = Callable[[Scope], None]
"""Makes a copy the request's own: takes breadcrumbs out, adds event processors."""

_SLOTS_OF: Final = Probe(
    "sentry_sdk.scope:Scope", "__slots__",
    why="a slot without a value asks `__getattr__`, which makes the copy",
    without="each request's scopes are copied when it starts, some 10 us more",
    level=SLOWER,
)  # fmt: skip
_PROCESSORS: Final = Probe(
    "sentry_sdk.scope:Scope", "_event_processors",
    why="integrations of sentry-sdk add what they know of a request, which its own thread can read",
    without="transactions of Bottle and Tornado lack cookies and body",
)  # fmt: skip
_COSTS: Final = "each request costs 10 us more"
_ISOLATION: Final = Probe(
    "sentry_sdk.scope", "_isolation_scope",
    why="the context variable that holds the scope: a request asks for it three times",
    without=_COSTS,
    level=SLOWER,
)  # fmt: skip
_CURRENT: Final = Probe(
    "sentry_sdk.scope", "_current_scope", why="the same of the other scope", without=_COSTS, level=SLOWER
)


ISOLATION: Final[Any] = _ISOLATION.load() or SimpleNamespace(
    get=Scope.get_isolation_scope, set=Scope.set_isolation_scope
)
"""Gives and sets the isolation scope; None where there is none yet, and `Scope.get_isolation_scope` makes one."""
CURRENT: Final[Any] = _CURRENT.load() or SimpleNamespace(
    get=Scope.get_current_scope, set=Scope.set_current_scope
)
"""The same of the current scope."""
_SLOTS: Final[tuple[str, ...]] = tuple(_SLOTS_OF.of(Scope) or ())
_FIRST: Final = "client"
"""Every call of sentry-sdk's API reads it, and it is never copied."""
_CAN_WAIT: Final = _FIRST in _SLOTS and Scope.__dictoffset__ == 0 and not hasattr(Scope, "__getattr__")
_WRITTEN: Final = frozenset({_FIRST})
_new: Final = object.__new__
_put: Final = object.__setattr__
_value: Final = object.__getattribute__


class _WaitingScope(Scope):
    """A copy of a scope, made when a slot that has no value is read. What was written before stays as it is."""

    __slots__ = ("_slotel_original", "_slotel_prepare", "_slotel_written")

    _slotel_original: Scope
    _slotel_prepare: Prepare | None
    _slotel_written: frozenset[str]

    def __getattr__(self, name: str) -> Any:
        if name not in _SLOTS:
            raise AttributeError(f"'Scope' object has no attribute {name!r}")
        make_copy(self)
        return _value(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__class__ is _WaitingScope and name in _SLOTS:
            with suppress(AttributeError):  # a copy of one that waited
                _put(self, "_slotel_written", _value(self, "_slotel_written") | {name})
        _put(self, name, value)


class _CopiedScope(Scope):
    """The class of a waiting scope after its first use: it costs the same as sentry-sdk's."""

    __slots__ = _WaitingScope.__slots__


def fork_when_used(scope: Scope, prepare: Prepare | None = None) -> Scope:
    """Return a scope that becomes a copy of another one when it is first used.

    Args:
        scope: that of the process, a thread or an event loop: what changes there before the first use is copied, too.
        prepare: called with the copy.
    """
    if not _CAN_WAIT or scope.__class__ not in _KINDS:
        return _copied(scope, prepare)
    if scope.__class__ is _WaitingScope:
        make_copy(scope)  # one that waits for another that waits would end in a chain without bound
    waiting = _new(_WaitingScope)
    _put(waiting, "_slotel_original", scope)
    _put(waiting, "_slotel_prepare", prepare)
    _put(waiting, "_slotel_written", _WRITTEN)
    _put(waiting, _FIRST, scope.client)
    return waiting


class UnusedScope(NamedTuple):
    """A request's scope that was never used: a copy of it at its end would have been empty.

    Args:
        original: that of the process, a thread or an event loop.
        prepare: what is called with a copy.
    """

    original: Scope
    prepare: Prepare | None

    def copied(self) -> Scope:
        """Return the copy of the end of the request, made now; event processors that were added since are in it."""
        copied = _copied(self.original, self.prepare)
        if not adds_nothing(copied):  # something was said in the original since
            fresh = Scope()
            for name in _SAYS:
                setattr(copied, name, getattr(fresh, name))
        return copied


def processors_of(scope: Scope) -> Iterable[Any]:
    """Return the event processors of a request's scope, or those of the one that it waits to be a copy of."""
    if scope.__class__ is _WaitingScope:
        with suppress(AttributeError):  # a copy of one that waited
            scope = _value(scope, "_slotel_original") or scope
    return _PROCESSORS.of(scope) or ()


def snapshot_of(scope: Scope) -> Scope | UnusedScope:
    """Return a scope that stays as this one is now: itself, or what its copy would be made of.

    Args:
        scope: of a request that has ended, which nobody uses any more.
    """
    if scope.__class__ is _WaitingScope:
        try:
            is_unused = _value(scope, "_slotel_written") is _WRITTEN
            original, prepare = _value(scope, "_slotel_original"), _value(scope, "_slotel_prepare")
        except AttributeError:  # a copy of one that waited
            is_unused = False
        if is_unused:
            return UnusedScope(original, prepare) if adds_nothing(original) else _copied(original, prepare)
    make_copy(scope)
    return scope


def _copied(original: Scope, prepare: Prepare | None) -> Scope:
    copied = original.fork()
    if prepare is not None:
        prepare(copied)
    return copied


def make_copy(scope: Scope) -> None:
    """Make the copy that a waiting scope stands for; a copied scope stays as it is."""
    if scope.__class__ is not _WaitingScope:
        return
    try:
        original = _value(scope, "_slotel_original")
    except AttributeError:  # a copy of one that waited: it has everything
        _put(scope, "__class__", _CopiedScope)
        return
    copied = _copied(original, _value(scope, "_slotel_prepare"))
    for name in _SLOTS:
        if scope.__class__ is not _WaitingScope:  # another thread was faster, and may have written since
            return
        if name not in _value(scope, "_slotel_written"):
            _put(scope, name, getattr(copied, name))
    _put(scope, "__class__", _CopiedScope)
    _put(scope, "_slotel_original", None)  # not to be kept alive
    _put(scope, "_slotel_prepare", None)


_KINDS: Final = (Scope, _WaitingScope, _CopiedScope)

_OF_NO_TRANSACTION: Final = frozenset({
    "client", "_type", "_name", "_event_processors", "_error_processors", "_propagation_context", "_should_capture",
    "_session", "_span", "_server_segment_span", "_breadcrumbs", "_n_breadcrumbs_truncated", "_last_event_id",
    "_profile", "_flags", "_force_auto_session_tracking", "_gen_ai_original_message_count", "_gen_ai_conversation_id",
    "_attributes", "_transaction", "_transaction_info",
})  # fmt: skip
"""Slots that `Scope.apply_to_event` does not read for a transaction with a name. One of a later release may count."""
_SAYS: Final = tuple(name for name in _SLOTS if name not in _OF_NO_TRANSACTION)
_RUNS: Final = bool(_SAYS) and hasattr(Scope, "run_event_processors")


def adds_nothing(*scopes: Scope) -> bool:
    """Return whether scopes add nothing to a transaction, so that it is enough to run their event processors."""
    for scope in scopes:
        if not _RUNS or (scope.__class__ is not Scope and scope.__class__ is not _CopiedScope):
            return False
        for name in _SAYS:
            if getattr(scope, name):
                return False
    return True
