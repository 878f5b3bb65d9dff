"""Frames of an event that were described before: without variables one says the same each time.

All events share one description, which nobody changes; each has a copy that an event processor may change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import CodeType
from typing import Any, Final, TypeAlias

Wanted: TypeAlias = Callable[[Any], bool]
"""Whether the variables of a frame are to be in the event."""

WANTED: Final[ContextVar[Wanted | None]] = ContextVar("slotel-wanted-variables", default=None)
_OPTION: Final = "include_local_variables"
_MAX_FRAMES: Final = 5000
"""Frames whose description is remembered: some 2 MB at the most."""


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
    """Return the shared description of a frame, if nobody has changed its copy."""
    return frame.origin if frame.origin is not None and frame == frame.origin else None


def remembering(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `serialize_frame` that reads the wanted variables, and remembers what it says of a frame without."""
    # with each frame's code, so that its number stays its own
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
    """Frames as they leave: marked as the app's or not, with their source lines, redacted. On the sender's thread."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[KnownFrame, KnownFrame]] = {}
        self._marks: Any = None

    def put_into(self, event: Mapping[str, Any], marks: Any) -> None:
        """Put finished frames in the place of shared ones that were sent before, and copies in that of others.

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
                    self._known[id(origin)] = origin, frame  # the first keeps its number its own
                    frame.origin = None


def _stacks(event: Mapping[str, Any]) -> Iterator[list[Any]]:
    exceptions = event.get("exception")
    values = exceptions.get("values") if exceptions.__class__ is dict else None
    for value in values if values.__class__ is list else ():
        stack = value.get("stacktrace") if value.__class__ is dict else None
        frames = stack.get("frames") if stack.__class__ is dict else None
        if frames.__class__ is list:
            yield frames
