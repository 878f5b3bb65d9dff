"""The names of sentry-sdk that slotel puts itself before, each with its reason and what happens where one is missing.

| name | why | where it is missing |
| --- | --- | --- |
| `utils.get_source_context` | source lines are added later, from a cache | sentry-sdk adds them, at once |
| `utils.serialize_frame` | decides for each frame whether its variables are read | every event has all variables |
| `utils.exceptions_from_error_tuple` | knows the exception that the frames belong to | every event has all variables |
| `integrations._AUTO_ENABLING_INTEGRATIONS` | the list of what plain sentry-sdk would enable | none of them is |
| `Scope.start_span`, `start_transaction`, `continue_trace`, … | make and read OpenTelemetry spans | they do nothing |
| `utils._get_installed_modules` | packages and versions, added on the sender's thread | events lack `modules` |

The functions have no underscore and are called through their module; those of Scope are public.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeAlias

from sentry_sdk import integrations, utils
from sentry_sdk.scope import Scope

from slotel.runtime.logs import LOG

NoOpSpan: Final[Callable[[], Any]] = import_module(
    "sentry_sdk.tracing" if find_spec("sentry_sdk.tracing") else "sentry_sdk.traces"
).NoOpSpan
"""A span that does nothing, of sentry-sdk 2 or 3."""

Wanted: TypeAlias = Callable[[Any], bool]
"""Whether the variables of a frame are to be in the event."""


class Choice(NamedTuple):
    """Which frames' variables are wanted, and what the event says of the others."""

    wanted: Wanted
    left_out: str


Choose: TypeAlias = Callable[
    ["type[BaseException] | None", "BaseException | None", "TracebackType | None"], "Choice | None"
]
"""Gives the choice for an exception's type, value and traceback; None for all variables of all frames."""

_WANTED: ContextVar[Wanted | None] = ContextVar("slotel-wanted-variables", default=None)
_MARK: Final = "_slotel_original"


def leave_source_lines_out() -> bool:
    """Have sentry-sdk leave the source lines of frames empty; return whether it does: somebody else adds them."""

    def no_lines(*_: Any, **__: Any) -> tuple[list[str], None, list[str]]:
        return [], None, []

    return _put_before("get_source_context", lambda _: no_lines)


def choose_variables(choose: Choose) -> bool:
    """Ask before the variables of an exception's frames are read; return whether sentry-sdk can be asked.

    Args:
        choose: called once for each event that is made of an exception.
    """

    def of_exceptions(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def exceptions_from_error_tuple(exc_info: Any, *args: Any, **kwargs: Any) -> Any:
            choice = choose(*exc_info)
            if choice is None:
                return original(exc_info, *args, **kwargs)
            token = _WANTED.set(choice.wanted)
            try:
                exceptions = original(exc_info, *args, **kwargs)
            finally:
                _WANTED.reset(token)
            if exceptions:
                exceptions[-1]["mechanism"].setdefault("data", {})["left out"] = choice.left_out
            return exceptions

        return exceptions_from_error_tuple

    def of_frame(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def serialize_frame(frame: Any, *args: Any, **kwargs: Any) -> Any:
            wanted = _WANTED.get()
            if wanted is None or wanted(frame):
                return original(frame, *args, **kwargs)
            if args[1:2]:
                args = (args[0], False, *args[2:])
            else:
                kwargs["include_local_variables"] = False
            return original(frame, *args, **kwargs)

        return serialize_frame

    return _put_before("serialize_frame", of_frame) and _put_before(
        "exceptions_from_error_tuple", of_exceptions
    )


def _put_before(name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> bool:
    original = getattr(utils, name, None)
    if original is None:
        LOG.warning(
            "sentry-sdk has no utils.%s any more: an error costs what it costs with sentry-sdk alone", name
        )
        return False
    original = getattr(original, _MARK, original)
    wrapped = wrap(original)
    setattr(wrapped, _MARK, original)
    setattr(utils, name, wrapped)
    return True


def auto_enabling_integrations() -> tuple[str, ...]:
    """Return the paths of the integrations that sentry-sdk enables by itself; none where it lists them elsewhere."""
    return tuple(getattr(integrations, "_AUTO_ENABLING_INTEGRATIONS", ()))


def replace_in_scope(name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> bool:
    """Put a function before a method, or before the getter of a property, of sentry-sdk's Scope.

    Args:
        wrap: gives the new function for the original one.

    Returns whether there is such a method; sentry-sdk 3 has fewer.
    """
    original = Scope.__dict__.get(name)
    if original is None:
        return False
    if isinstance(original, property):
        getter: Any = getattr(original.fget, _MARK, original.fget)
        wrapped = functools.wraps(getter)(wrap(getter))
        setattr(wrapped, _MARK, getter)
        setattr(Scope, name, original.getter(wrapped))
    else:
        original = getattr(original, _MARK, original)
        wrapped = functools.wraps(original)(wrap(original))
        setattr(wrapped, _MARK, original)
        setattr(Scope, name, wrapped)
    return True


def installed_modules() -> dict[str, str]:
    """Return the installed packages with their versions, as ModulesIntegration has them."""
    ask: Callable[[], dict[str, str]] | None = getattr(utils, "_get_installed_modules", None)
    return ask() if ask is not None else {}
