"""Which test files take long, so that they begin first: a run side by side then has no long end on one core.

`python tests/support/long_first.py LOG` reads the durations that `pytest --durations=300` has printed, and writes the table.
"""

import re
import sys
from collections import Counter
from pathlib import Path

TABLE = Path(__file__).with_suffix(".txt")
"""`seconds file`, one a line; what is not listed takes little."""
_LEAST = 5.0
_LINE = re.compile(r"([\d.]+)s (?:call|setup|teardown) +(tests/[^:]+)::")


def known_seconds():
    """Seconds by file."""
    rows = (line.split() for line in TABLE.read_text().splitlines())
    return {file: float(seconds) for seconds, file in rows}


def write(log):
    """Write the table from a log of pytest."""
    found = Counter()
    for seconds, file in _LINE.findall(log):
        found[file] += float(seconds)
    TABLE.write_text(
        "".join(f"{round(seconds)} {file}\n" for file, seconds in found.most_common() if seconds >= _LEAST)
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]).read_text())
