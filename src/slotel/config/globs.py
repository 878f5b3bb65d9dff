"""Values with `*` for any characters, as objectives select by them."""

from __future__ import annotations


def matches(patterns: tuple[str, ...], value: object) -> bool:
    """Return whether a value is one of the patterns; `*` in a pattern stands for any characters."""
    text = str(value)
    return any(_glob(pattern, text) for pattern in patterns)


def _glob(pattern: str, text: str) -> bool:
    if "*" not in pattern:
        return pattern == text
    head, *middle, tail = pattern.split("*")
    if not text.startswith(head) or len(text) < len(head) + len(tail) or not text.endswith(tail):
        return False
    rest = text[len(head) : len(text) - len(tail)]
    for part in middle:
        at = rest.find(part)
        if at < 0:
            return False
        rest = rest[at + len(part) :]
    return True
