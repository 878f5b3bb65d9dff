"""An exception's traceback as text, as `traceback.format_exception` writes it: the text of a frame is made once.

Python reads, parses and underlines the line of each frame again for each exception, which is most of its price.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Final

_MAX_FRAMES: Final = 2000
_HEAD: Final = "Traceback (most recent call last):\n"
_REPEATS: Final = 3
"""Frames of one place after which Python writes "Previous line repeated". Source: `traceback._RECURSIVE_CUTOFF`."""


class ExceptionText:
    """Writes exceptions as text, and remembers the text of their frames."""

    def __init__(self) -> None:
        self._frames: dict[tuple[CodeType, int, int], str] = {}

    def __call__(self, error: BaseException) -> str:
        """Return the text of an exception."""
        if not _is_single(error) or error.__traceback__ is None or _repeats(error.__traceback__):
            return "".join(traceback.format_exception(error))
        frames = "".join(map(self._frame, _frames(error.__traceback__)))
        # given the traceback, it says what the writer may have meant: "Did you mean"
        last = traceback.TracebackException(type(error), error, error.__traceback__, limit=0, compact=True)
        return f"{_HEAD}{frames}{''.join(last.format_exception_only())}"

    def _frame(self, at: TracebackType) -> str:
        key = at.tb_frame.f_code, at.tb_lasti, at.tb_lineno
        text = self._frames.get(key)
        if text is None:
            if len(self._frames) >= _MAX_FRAMES:
                self._frames.clear()
            text = self._frames[key] = "".join(traceback.format_tb(at, limit=1))
        return text


def _is_single(error: BaseException) -> bool:
    """Whether the text is of this exception alone, and of no other that caused it."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return cause is None and not hasattr(error, "exceptions")


def _frames(at: TracebackType | None) -> Iterator[TracebackType]:
    while at is not None:
        yield at
        at = at.tb_next


def _repeats(traceback_: TracebackType) -> bool:
    places = [(at.tb_frame.f_code, at.tb_lineno) for at in _frames(traceback_)]
    if len(places) == len(set(places)):
        return False
    return any(len(set(places[start : start + _REPEATS + 1])) == 1 for start in range(len(places) - _REPEATS))
