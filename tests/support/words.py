"""Finds words that readers of OpenTelemetry's and Prometheus' documentation would not know: `python tests/support/words.py`.

Reads what people read: sources with their comments and messages, documents, examples. Decisions keep their words of the time.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
READ: Final = (
    "src", "docs", "README.md", "CONTRIBUTING.md", "SECURITY.md", "RELEASING.md", "examples", "deploy", "collector",
)  # fmt: skip
NOT_READ: Final = ("docs/decisions/", "docs/pictures/", "tests/")
ENDINGS: Final = {".py", ".md", ".yaml", ".toml", ".txt", ".css", ".js", ""}
BETTER: Final = {
    r"\b[Tt]he launchers?\b": "opentelemetry-instrument, or auto-instrumentation",
    r"\b(is|are|was|were|and|or|what|which|that) (shipped|ships)\b": "to export, to send",
    r"\b[Ww]hat leaves\b": "what is exported",
    r"\bstands? by for\b|\bstands by\b": "is on standby",
    r"\b[Mm]end(s|ed|ing)?\b": "to fix, to patch",
    r"\b[Ww]itness(es)?\b": "example series",
    r"\b[Ll]edgers?\b": "counter file",
    r"\b[Rr]esidence\b|\b[Rr]un directory\b": "runtime directory",
    r"\b[Oo]utbox\b": "queue",
    r"\b[Ss]trangers?\b": "another service, independent",
    r"\bkeep_budget\b": "keep_rate_limited",
    r"\b[Tt]he rest goes on\b": "everything else works",
    r"\b[Ww]ho holds the port\b": "which process serves /metrics",
}
"""What is not to be written → what to write."""


def findings() -> Iterator[str]:
    """Yield `file:line: word: what to write`."""
    listed = subprocess.run(
        ["git", "ls-files", *READ], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if name.startswith(NOT_READ) or path.suffix not in ENDINGS or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for pattern, better in BETTER.items():
                if found := re.search(pattern, line):
                    yield f"{name}:{number}: {found.group()!r}: {better}"


if __name__ == "__main__":
    found = list(findings())
    print("\n".join(found))
    sys.exit(bool(found))
