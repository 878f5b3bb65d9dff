"""A request's own Sentry scopes, which become copies when they are first used: most requests never use theirs.

A scope of a class of the app's own is copied at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

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
_SLOTS: Final[tuple[str, ...]] = tuple(_SLOTS_OF.of(Scope) or ())
_FIRST: Final = "client"
"""Every call of sentry-sdk's API asks a scope for it, and it is never copied."""
_CAN_WAIT: Final = _FIRST in _SLOTS and Scope.__dictoffset__ == 0 and not hasattr(Scope, "__getattr__")
_new: Final = object.__new__
_value: Final = object.__getattribute__


class _ForkedScope(Scope):
    """A copy of a scope, made when a slot that has no value is read. What was written before stays as it is."""

    __slots__ = ("_slotel_original", "_slotel_prepare")

    _slotel_original: Scope | None
    """None as soon as this is a copy."""
    _slotel_prepare: Prepare | None

    def __getattr__(self, name: str) -> Any:
        if name not in _SLOTS:
            raise AttributeError(f"'Scope' object has no attribute {name!r}")
        complete(self)
        return _value(self, name)


def fork_when_used(scope: Scope, prepare: Prepare | None = None) -> Scope:
    """Return a scope that is a copy of another one as soon as somebody uses it.

    Args:
        scope: that of the process, a thread or an event loop: what changes there before the first use is copied, too.
        prepare: called with the copy.
    """
    if not _CAN_WAIT or scope.__class__ not in (Scope, _ForkedScope):
        forked = scope.fork()
        if prepare is not None:
            prepare(forked)
        return forked
    if scope.__class__ is _ForkedScope:
        complete(scope)  # one that waits for another that waits would end in a chain without bound
    waiting = _new(_ForkedScope)
    waiting._slotel_original = scope  # noqa: SLF001 its own name
    waiting._slotel_prepare = prepare  # noqa: SLF001 its own name
    waiting.client = scope.client
    return waiting


def complete(scope: Scope) -> None:
    """Make a scope the copy that it is to be; nothing is done to one that is."""
    if scope.__class__ is not _ForkedScope:
        return
    try:
        original = _value(scope, "_slotel_original")
    except AttributeError:  # a copy of a copy
        return
    if original is None:
        return
    copied = original.fork()
    prepare = _value(scope, "_slotel_prepare")
    if prepare is not None:
        prepare(copied)
    for name in _SLOTS:
        try:
            _value(scope, name)
        except AttributeError:
            setattr(scope, name, getattr(copied, name))
    scope._slotel_original = scope._slotel_prepare = None  # noqa: SLF001 its own names
