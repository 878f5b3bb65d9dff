"""The source lines around each frame of an event, from a bounded cache; read on the sender's thread."""

from __future__ import annotations

import linecache
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from slotel.runtime.sentry.transport.bounds import frames_of

CONTEXT_LINES: Final = 5
"""Before and after the frame's line. Source: sentry-sdk, `get_lines_from_file`."""
MAX_CACHED_LINES: Final = 200_000
"""Lines of all cached files together, about 10 MB."""
MAX_LINE: Final = 1024
"""Characters of a line: a minified file must not fill an event."""


class SourceLines:
    """Adds source lines, with a cache of recently used files. Thread-safe: at worst a file is read twice."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, str | None], Sequence[str]] = OrderedDict()
        self._lines = 0

    def add_to(self, event: Mapping[str, Any], longest: int | None = None) -> None:
        """Fill the frames whose lines sentry-sdk left empty; other frames are not changed.

        Args:
            longest: most characters of a line; None for `MAX_LINE`.
        """
        longest = MAX_LINE if longest is None else longest
        for frame in frames_of(event):
            if "context_line" not in frame or frame["context_line"] is not None or frame.get("pre_context"):
                continue
            path, number = frame.get("abs_path"), frame.get("lineno")
            if not path or not isinstance(number, int):
                continue
            lines = self._of(path, frame.get("module"))
            if 0 < number <= len(lines):
                first = max(0, number - 1 - CONTEXT_LINES)
                shown = [_cut(line, longest) for line in lines[first : number + CONTEXT_LINES]]
                at = number - 1 - first
                frame["pre_context"], frame["context_line"] = shown[:at], shown[at]
                frame["post_context"] = shown[at + 1 :]

    def _of(self, path: str, module: str | None) -> Sequence[str]:
        key = (path, module)
        lines = self._files.get(key)
        if lines is None:
            lines = [_cut(line, MAX_LINE) for line in _read(path, module)]
            if not lines and os.path.exists(path):  # noqa: PTH110 no descriptor is left now, say
                return lines
            self._files[key] = lines
            self._lines += len(lines)
            while self._lines > MAX_CACHED_LINES and len(self._files) > 1:
                self._lines -= len(self._files.popitem(last=False)[1])
        else:
            self._files.move_to_end(key)
        return lines


def _read(path: str, module: str | None) -> Sequence[str]:
    """Return a file's lines as its loader gives them (it may be in an archive), else from disk; none if it is gone."""
    loader = getattr(sys.modules.get(module or ""), "__loader__", None)
    try:
        source = loader.get_source(module) if hasattr(loader, "get_source") else None  # type: ignore[union-attr]
        if source is not None:
            return tuple(source.splitlines())
    except (ImportError, OSError, ValueError):
        pass
    try:
        return tuple(line.rstrip("\r\n") for line in linecache.getlines(path))
    except (OSError, ValueError):
        return ()


def _cut(line: str, longest: int) -> str:
    return line if len(line) <= longest else line[: longest - 3] + "..."
