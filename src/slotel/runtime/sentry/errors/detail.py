"""Limits the local variables that are read for an error: all for the first events of a kind in a minute, fewer later.

The `repr` of every local variable of every frame is most of an error's CPU cost, on the request thread. No event is
dropped: each has its stack, tags and trace, and is counted.
"""

from __future__ import annotations

import os
import sysconfig
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from types import FrameType, TracebackType
from typing import Any, Final

from slotel.runtime.sentry.errors.exception_record import is_reported
from slotel.runtime.upstream.sentry.frames import VariableChoice

FULL_PER_KIND: Final = 5
"""Events of a kind in a minute with the variables of all frames."""
APP_PER_KIND: Final = 50
"""Events of a kind in a minute with at least the variables of the app's own frames; further ones have none."""
APP_PER_MINUTE: Final = 300
"""Events of all kinds in a minute with variables."""
MAX_KINDS: Final = 1000
_MINUTE: Final = 60.0

APP: Final = "library_variables"
NONE: Final = "variables"
"""`reason` of slotel_dropped_total{signal="error_detail"} for an event without variables."""
_SAID: Final = {
    APP: f"local variables of library frames: more than {FULL_PER_KIND} events of this kind in a minute",
    NONE: f"local variables: more than {APP_PER_KIND} events of this kind, or {APP_PER_MINUTE} of all, in a minute",
}


class ErrorDetail:
    """Chooses for each exception which variables are read.

    Args:
        detail: `sentry.error_detail`: `adaptive`, or `full` for always all variables of all frames.
        reduced: called with the reason for each event without some of its variables.
    """

    clock = staticmethod(time.monotonic)

    def __init__(self, detail: str, reduced: Callable[[str], None]) -> None:
        self._always_full = detail == "full"
        self._reduced = reduced
        self._is_app = app_frames()
        self._minute = -1.0
        self._seen: OrderedDict[tuple[Any, ...], int] = OrderedDict()
        self._total = 0

    def choose(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> VariableChoice | None:
        """Return which frames' variables to read; None for all. A second report reads none: its event is dropped."""
        if is_reported(error):
            return VariableChoice(_no_frame, _SAID[NONE])
        level = self._level(kind, traceback)
        if level is None:
            return None
        self._reduced(level)
        return VariableChoice(self._is_app if level == APP else _no_frame, _SAID[level])

    def _level(self, kind: type[BaseException] | None, traceback: TracebackType | None) -> str | None:
        if self._always_full:
            return None
        minute = self.clock() // _MINUTE
        if minute != self._minute:
            self._minute, self._total = minute, 0
            self._seen.clear()
        self._total += 1
        place = (kind, *_place(traceback))
        seen = self._seen[place] = self._seen.get(place, 0) + 1
        if len(self._seen) > MAX_KINDS:
            self._seen.popitem(last=False)
        if seen > APP_PER_KIND or self._total > APP_PER_MINUTE:
            return NONE
        return None if seen <= FULL_PER_KIND else APP


def app_frames() -> Callable[[FrameType], bool]:
    """Return a function that tells whether a frame is the app's own or a library's, by the path of its code."""
    paths = sysconfig.get_paths()
    installed = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    libraries = tuple(os.path.join(path, "") for path in installed)  # noqa: PTH118 a prefix, not a path

    @cache
    def is_app(path: str) -> bool:
        absolute = os.path.abspath(path)  # noqa: PTH100 no link is followed, as sentry-sdk does not
        is_library = "site-packages" in absolute or "dist-packages" in absolute
        return not (is_library or absolute.startswith(libraries) or path.startswith("<"))

    return lambda frame: is_app(frame.f_code.co_filename)


def _place(traceback: TracebackType | None) -> tuple[str, int]:
    """Return the file and line of the innermost frame."""
    if traceback is None:
        return "", 0
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno


def _no_frame(_frame: FrameType) -> bool:
    return False
