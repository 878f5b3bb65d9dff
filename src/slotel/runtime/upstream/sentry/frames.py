"""Decides which frames of an event sentry-sdk reads, with which variables and source lines.

A frame without variables has the same description each time. So all events share one description, which never changes,
and each event gets a copy that an event processor may change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import CodeType
from typing import Any, Final, NamedTuple, TypeAlias

from sentry_sdk import utils

from slotel.runtime.upstream.probe import SLOWER, Probe
from slotel.runtime.upstream.sentry import replace

Wanted: TypeAlias = Callable[[Any], bool]
"""Whether the event gets the variables of a frame."""

WANTED: Final[ContextVar[Wanted | None]] = ContextVar("slotel-wanted-variables", default=None)
_OPTION: Final = "include_local_variables"
_MAX_FRAMES: Final = 5000
"""Frames whose description is remembered: some 2 MB at the most."""
_UTILS: Final = "sentry_sdk.utils"
_COSTS: Final = "an error costs what it costs with sentry-sdk alone"
_LINES: Final = Probe(
    _UTILS, "get_source_context",
    why="source lines are added later, from a cache", without=_COSTS, level=SLOWER,
)  # fmt: skip
_FRAME: Final = Probe(
    _UTILS, "serialize_frame",
    why="decides for each frame whether its variables are read", without=_COSTS, level=SLOWER,
)  # fmt: skip
_HIDDEN: Final = Probe(
    _UTILS, "should_hide_frame",
    why="a stack shows none of slotel's frames, as it shows none of sentry-sdk's",
    without="a message's stack ends with a frame of slotel",
)  # fmt: skip
_EXCEPTIONS: Final = Probe(
    _UTILS, "exceptions_from_error_tuple",
    why="knows the exception that the frames belong to", without=_COSTS, level=SLOWER,
)  # fmt: skip


class VariableChoice(NamedTuple):
    """Which frames' variables are wanted, and what replaces the others in the event."""

    wanted: Wanted
    left_out: str


_OWN: Final = "slotel."
_LEFT_OUT: Final = "left out"


class KnownFrame(dict[str, Any]):
    """A frame without variables.

    Attributes:
        origin: the shared description that this is a copy of; None for that one.
    """

    __slots__ = ("origin",)
    origin: KnownFrame | None

    def __reduce__(self) -> tuple[Any, ...]:
        """Be a dict where it is copied deeply or pickled."""
        return dict, (dict(self),)


def copy_of(shared: KnownFrame) -> KnownFrame:
    """Return a copy that may be changed."""
    copied = KnownFrame(shared)
    copied.origin = shared
    return copied


def shared_by(frame: KnownFrame) -> KnownFrame | None:
    """Return the shared description of a frame, if its copy was not changed; else None."""
    return frame.origin if frame.origin is not None and frame == frame.origin else None


def caching_frames(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `serialize_frame` that reads the wanted variables, and caches the description of a frame without any."""
    # each entry holds the frame's code, so that its id is not reused
    known: dict[tuple[Any, ...], tuple[CodeType, KnownFrame]] = {}
    can_be_told = _OPTION in inspect.signature(original).parameters  # sentry-sdk 3 asks its client

    def serialize_frame(frame: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = WANTED.get()
        if wanted is None or wanted(frame):
            return original(frame, *args, **kwargs)
        if can_be_told and args[1:2]:
            args = (args[0], False, *args[2:])
        elif can_be_told:
            kwargs[_OPTION] = False
        place = _place(frame, args, kwargs)
        found = known.get(place) if place is not None else None
        if found is not None:
            return copy_of(found[1])
        made = original(frame, *args, **kwargs)
        if not can_be_told:
            made.pop("vars", None)
        if place is not None and "vars" not in made:
            if len(known) >= _MAX_FRAMES:
                known.clear()
            shared = KnownFrame(made)
            shared.origin = None
            known[place] = frame.f_code, shared
            return copy_of(shared)
        return made

    return serialize_frame


def _place(frame: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Return what a frame's description without variables depends on; None where that cannot be told."""
    try:
        line = args[0] if args else kwargs.get("tb_lineno")
        place = (
            id(frame.f_code),  # codes of two files may be equal
            line or frame.f_lineno,
            frame.f_globals.get("__name__"),
            args,
            *kwargs.values(),
        )
        hash(place)
    except Exception:  # noqa: BLE001 an odd frame, or an odd option of the app
        return None
    return place


class FinishedFrames:
    """Caches finished frames: marked as the app's or not, with source lines, redacted. On the sender's thread."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[KnownFrame, KnownFrame]] = {}
        self._marks: Any = None

    def put_into(self, event: Mapping[str, Any], marks: Any) -> None:
        """Replace shared frames that were sent before by finished ones, and other shared frames by copies.

        Args:
            marks: what decides which frames are the app's; where it is None nothing is remembered.
        """
        if marks != self._marks:
            self._known.clear()
            self._marks = marks
        for frames in _stacks(event):
            for at, frame in enumerate(frames):
                if frame.__class__ is KnownFrame and frame.origin is None:
                    found = self._known.get(id(frame)) if marks is not None else None
                    frames[at] = copy_of(frame) if found is None else found[1]

    def keep(self, event: Mapping[str, Any]) -> None:
        """Remember the frames of the event that frames were put into, now that it is ready to be sent."""
        if self._marks is None:
            return
        for frames in _stacks(event):
            for frame in frames:
                origin = frame.origin if frame.__class__ is KnownFrame else None
                if origin is not None and frame.get("context_line") is not None:
                    if len(self._known) >= _MAX_FRAMES:
                        self._known.clear()
                    self._known[id(origin)] = (
                        origin,
                        frame,
                    )  # the origin is kept, so that its id is not reused
                    frame.origin = None


def _stacks(event: Mapping[str, Any]) -> Iterator[list[Any]]:
    exceptions = event.get("exception")
    values = exceptions.get("values") if exceptions.__class__ is dict else None
    for value in values if values.__class__ is list else ():
        stack = value.get("stacktrace") if value.__class__ is dict else None
        frames = stack.get("frames") if stack.__class__ is dict else None
        if frames.__class__ is list:
            yield frames


def leave_source_lines_out() -> None:
    """Have sentry-sdk leave the source lines of frames empty, as slotel adds them later."""
    _LINES.wrap(utils, lambda _: lambda *_, **__: ([], None, []))


def hide_own_frames() -> None:
    """Have sentry-sdk leave slotel's frames out of stack traces."""

    def wrap(original: Callable[[Any], bool]) -> Callable[[Any], bool]:
        return lambda frame: str(frame.f_globals.get("__name__")).startswith(_OWN) or original(frame)

    _HIDDEN.wrap(utils, wrap)


def choose_variables(choose: Callable[..., VariableChoice | None]) -> None:
    """Ask before the variables of an exception's frames are read.

    Args:
        choose: called once for each event, with the exception's type, value and traceback; returns None for all
            variables of all frames.
    """

    def exceptions_from_error_tuple(
        original: Callable[..., Any], exc_info: Any, *args: Any, **kwargs: Any
    ) -> Any:
        choice = choose(*exc_info)
        if choice is None:
            return original(exc_info, *args, **kwargs)
        token = WANTED.set(choice.wanted)
        try:
            exceptions = original(exc_info, *args, **kwargs)
        finally:
            WANTED.reset(token)
        if exceptions:
            exceptions[-1]["mechanism"].setdefault("data", {})[_LEFT_OUT] = choice.left_out
        return exceptions

    if _FRAME.wrap(utils, caching_frames):
        replace(_EXCEPTIONS, exceptions_from_error_tuple)


def is_reduced(event: Mapping[str, Any]) -> bool:
    """Return whether variables were left out of an event."""
    try:
        return _LEFT_OUT in event["exception"]["values"][-1]["mechanism"]["data"]
    except (LookupError, TypeError):
        return False
