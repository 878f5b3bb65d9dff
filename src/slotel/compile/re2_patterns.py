"""Patterns that find secrets by the name of their key, for the collector's regular expressions (RE2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

TEXT_ENDS: Final = r"\s'\"<>"
"""What cannot stand in a URL within a text."""

NESTED: Final = "\x01"
"""Marks, in the flattened key of a value within a map or a list, where the attribute's own key ends."""

_NOT_RE2: Final = re.compile(r"\(\?(?:[=!>(]|<[=!]|P=|P>)|\\[1-9]|\\Z|\\N|\\[uU]|[*+?}]\+")
"""What Python's regular expressions have and the collector's do not."""


def key_pattern(globs: Sequence[str]) -> str:
    """Return the pattern of the keys that the globs name; `-` and `_`, upper and lower case are one."""
    return f"(?i)^(?:{_alternatives(globs, '.*', _key_character)})$"


def nested_key_pattern(globs: Sequence[str]) -> str:
    """Return the pattern of the flattened keys of which a part that stands in a map is named by the globs."""
    return f"(?i){NESTED}(?:\\..*)?\\.(?:{_alternatives(globs, '.*', _key_character)})(?:\\..*)?$"


def query_pattern(globs: Sequence[str]) -> str:
    """Return the pattern of a `key=value` in a URL whose key is named, each character plain or percent-encoded."""
    return f"(?i)((?:^|[?&#])(?:{_alternatives(globs, '[^=&?#]*', _url_character)})=)[^&?#]*"


def text_pattern(globs: Sequence[str]) -> str:
    """Return the pattern of a `key=value` in a URL within a text: it ends where the URL does."""
    keys = _alternatives(globs, r"[\w.%\-\[\]]*", _url_character)
    return f"(?i)([?&](?:{keys})=)[^&?#{TEXT_ENDS}]+"


def whole_pattern(key: str, pattern: str) -> str:
    """Return a tag's pattern, which must match the whole value.

    Raises:
        ValueError: it means nothing to RE2.
    """
    found = _NOT_RE2.search(pattern)
    if found:
        raise ValueError(
            f"tags.required.{key}.pattern: {found[0]!r} is not known to the collector's regular expressions (RE2): "
            "write the pattern without look-around, back-references and possessive quantifiers"
        )
    return f"^(?:{pattern})$"


def _alternatives(globs: Sequence[str], wildcard: str, character: Callable[[str], str]) -> str:
    """Return the globs as one pattern in which those that differ only by a leading `*.` or `*_` share a wildcard.

    The collector tries it on every key of every span: a wildcard of its own for each glob made it eight times slower.
    """

    def translated(text: str) -> str:
        return wildcard.join("".join(map(character, part)) for part in text.split("*"))

    starts: dict[str, list[str]] = {}
    for glob in dict.fromkeys(glob.lower().replace("-", "_") for glob in globs):
        start = glob[:2] if glob[:2] in {"*.", "*_"} else ""
        starts.setdefault(glob.removeprefix(start), []).append(start)
    sharing: dict[tuple[str, ...], list[str]] = {}
    for rest, found in starts.items():
        sharing.setdefault(tuple(sorted(found)), []).append(translated(rest))
    parts = []
    for leading, rests in sharing.items():
        ends = "|".join(rests)
        characters = "|".join(character(start[1]) for start in leading if start)
        optional = "?" if "" in leading else ""
        parts.append(f"(?:{wildcard}(?:{characters})){optional}(?:{ends})" if characters else ends)
    return "|".join(parts)


def _key_character(character: str) -> str:
    return "[_-]" if character in "_-" else re.escape(character)


def _url_character(character: str) -> str:
    if character == "_":
        return "(?:[_-]|%5f|%2d)"
    return f"(?:{re.escape(character)}|{''.join(f'%{byte:02x}' for byte in character.encode())})"
