"""Writes the index of decisions: python docs/decisions/index.py. A decision is accepted unless a line `Status: …` says more."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
HEAD = """# Decisions

Each decision is half a page: context, decision, consequences. They are numbered in blocks by subject, so numbers are
missing where a block was not used up. A superseded decision stays, and names the one that replaced it.

| no. | decision | status |
| --- | --- | --- |
"""


def index() -> str:
    """Return the text of README.md."""
    rows = []
    for path in sorted(HERE.glob("[0-9]*.md")):
        text = path.read_text(encoding="utf-8")
        title = re.sub(r"^# \d+[.:]?\s*", "", text.splitlines()[0])
        status = re.search(r"^\**Status[.:]?\**:?\s*(.+)$", text, flags=re.MULTILINE)
        rows.append(
            f"| {path.name[:4]} | [{title}]({path.name}) | {status[1].rstrip('.') if status else 'accepted'} |"
        )
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (HERE / "README.md").write_text(index(), encoding="utf-8")
