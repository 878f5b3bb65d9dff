"""Spelling of the collector's own language, OTTL."""

from __future__ import annotations

import json
from collections.abc import Sequence


def quoted(text: str) -> str:
    """Return a string literal."""
    return json.dumps(text, ensure_ascii=False)


def listed(values: Sequence[str]) -> str:
    """Return a list of string literals."""
    return f"[{', '.join(map(quoted, values))}]"
