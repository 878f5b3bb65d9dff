"""Regular expressions that are compiled at their first use, because most services never need most of them."""

from __future__ import annotations

import re
from typing import Any, Final, cast

_METHODS: Final = ("finditer", "fullmatch", "match", "search", "sub", "subn")


class _Pattern:
    """Has the methods of a compiled pattern, which replace those of its first use."""

    __slots__ = ("_flags", "_source", *_METHODS)

    def __init__(self, source: str, flags: int) -> None:
        self._source, self._flags = source, flags

    def __getattr__(self, name: str) -> Any:
        """Compile the pattern: no method is there yet."""
        compiled = re.compile(self._source, self._flags)
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


def lazy_pattern(source: str, flags: int = 0) -> re.Pattern[str]:
    """Return an object with the methods of a compiled pattern.

    >>> lazy_pattern("b+").search("abbc")[0]
    'bb'
    """
    return cast("re.Pattern[str]", _Pattern(source, flags))
