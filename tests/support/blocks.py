"""The code blocks of the documentation. `python tests/support/blocks.py` counts them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("*/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]
PAGES = [page for page in PAGES if "decisions" not in page.parts]
NOT_RUN = "<!-- not run here: "
SHOWN = {"text", "diff", "promql", "nginx", "ini", "json", "toml"}
"""Languages of what is shown and is no command: output, pictures, fragments of other tools."""
_BLOCK = re.compile(
    r"(?:<!-- not run here: (?P<mark>[^>]+?) -->\s*\n)?(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)\n(?P=fence)",
    re.DOTALL,
)


class Block(NamedTuple):
    """A block.

    Args:
        mark: why it is not run; empty if it is run, or only shows something.
    """

    page: str
    number: int
    language: str
    text: str
    mark: str

    @property
    def is_shown(self) -> bool:
        return self.language in SHOWN


def blocks_of(page: Path) -> Iterator[Block]:
    for number, match in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")), 1):
        name = page.relative_to(ROOT).as_posix()
        yield Block(name, number, match["language"].strip(), match["text"], match["mark"] or "")


def every_block() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page)]


if __name__ == "__main__":
    found = Counter(
        "shown" if block.is_shown else f"not run: {block.mark}" if block.mark else "run"
        for block in every_block()
    )
    for what, number in found.most_common():
        print(f"{number:4} {what}")
