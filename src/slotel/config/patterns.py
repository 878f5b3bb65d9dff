"""Regular expressions that are compiled at their first use, because most services never need most of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
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


def with_stars(pieces: Sequence[str], name: str = "star") -> str:
    r"""Return the pattern of pieces between which any text may stand, for `fullmatch`.

    Each piece but the last is tried where it stands first and nowhere else: what is matched is the same, and no text
    takes more than a time proportional to its length, however many stars there are. Python alone reads it.

    Args:
        pieces: patterns; one that ends with a repeat is lazy there.
        name: begins the names of the groups that the pattern needs.

    >>> pattern = re.compile(with_stars(["/a/", "/b/", "c"]))
    >>> bool(pattern.fullmatch("/a/x/b/y/b/c")), bool(pattern.fullmatch("/a/x/c"))
    (True, False)
    """
    first, *rest = pieces
    if not rest:
        return first
    *middle, last = (f".*?{piece}" for piece in rest)
    once = (
        f"(?=(?P<{name}{number}>{piece}))(?P={name}{number})" for number, piece in enumerate((first, *middle))
    )
    return f"{''.join(once)}{last}"


def lazy_pattern(source: str, flags: int = 0) -> re.Pattern[str]:
    """Return an object with the methods of a compiled pattern.

    >>> lazy_pattern("b+").search("abbc")[0]
    'bb'
    """
    return cast("re.Pattern[str]", _Pattern(source, flags))
