"""Formats an exception's traceback as `traceback.format_exception` does, and caches the text of each frame.

Python reads, parses and underlines the line of each frame again for each exception, which is most of the cost. A failed
request pays it twice: for its span, and for the line in the log.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, Final

from slotel.runtime.upstream.probe import SLOWER, Probe

_MAX_FRAMES: Final = 2000
_HEAD: Final = "Traceback (most recent call last):\n"
_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_CLASS: Final = traceback.TracebackException
_PRINT: Final = traceback.print_exception
_FORMAT: Final = Probe(
    "logging:Formatter", "formatException",
    why="a logged exception's text has its frames from the cache of those in spans",
    without="the log line of an error costs what it costs without slotel",
    level=SLOWER,
)  # fmt: skip


class ExceptionText:
    """Writes exceptions as text, and remembers the text of their frames."""

    def __init__(self) -> None:
        # by identity: codes of two files may be equal; each is kept, so that its id is not reused
        self._frames: dict[tuple[int, int, int], tuple[CodeType, str]] = {}

    def __call__(self, error: BaseException) -> str:
        """Return the text of an exception."""
        try:
            found = self.quick(error)
        except Exception:  # noqa: BLE001 an attribute of the app's own that raises
            found = None
        return "".join(traceback.format_exception(error)) if found is None else found

    def quick(self, error: BaseException) -> str | None:
        """Return the text of an exception, and of those that led to it; None where only Python can write it."""
        if traceback.TracebackException is not _CLASS or hasattr(sys, "tracebacklimit"):
            return None
        texts: list[str] = []
        seen: set[int] = set()
        at: BaseException | None = error
        # one for all, which has those of the others: it says "Did you mean", too
        made: Any = _CLASS(type(error), error, error.__traceback__, limit=0, compact=True)
        while at is not None:
            if id(at) in seen or hasattr(at, "exceptions"):
                return None
            seen.add(id(at))
            frames = self._stack(at.__traceback__)
            if frames is None:
                return None
            texts += "".join(made.format_exception_only()), frames
            if at.__cause__ is not None:
                at, made = at.__cause__, made.__cause__
                texts.append(_CAUSE)
            else:
                at, made = None if at.__suppress_context__ else at.__context__, made.__context__
                if at is not None:
                    texts.append(_CONTEXT)
        texts.reverse()
        return "".join(texts)

    def _stack(self, at: TracebackType | None) -> str | None:
        """Return the text of a traceback; None if there is none, or if it has a recursion, which Python shortens."""
        if at is None:
            return None
        texts, known = [_HEAD], self._frames
        last: Any = None
        while at is not None:
            code, line = at.tb_frame.f_code, at.tb_lineno
            key = id(code), at.tb_lasti, line
            found = known.get(key)
            if found is None:
                if len(known) >= _MAX_FRAMES:
                    known.clear()
                found = known[key] = code, "".join(traceback.format_tb(at, limit=1))
            texts.append(found[1])
            place = code.co_filename, code.co_name, line
            if place == last:
                return None
            last, at = place, at.tb_next
        return "".join(texts)


EXCEPTION_TEXT: Final = ExceptionText()
"""The one of this process."""


def write_log_records_by(text: Callable[[BaseException], str | None]) -> bool:
    """Have logging's own formatter use the cached text of an exception; without one it formats the exception itself.

    A formatter's own `formatException` is left alone, and so is a `traceback` that the app has changed.
    """

    def wrap(original: Callable[..., str]) -> Callable[..., str]:
        def formatException(formatter: Any, ei: Any) -> str:  # noqa: N802 logging's name
            found = None
            with contextlib.suppress(
                Exception
            ):  # what cannot be told, or a stack that is full: logging knows
                kind, error, at = ei
                if traceback.print_exception is _PRINT and type(error) is kind and at is error.__traceback__:
                    found = text(error)
            # without the end of the last line, as logging writes it
            return original(formatter, ei) if found is None else found[:-1]

        return formatException

    return _FORMAT.wrap(logging.Formatter, wrap)
