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


def long_first(files, workers):
    """Return files so that each of the equal parts that xdist hands to its workers begins with its share of the long ones."""
    seconds = known_seconds()
    ordered = sorted(
        files, key=lambda file: -seconds.get(file, 0.0)
    )  # stable: the others stay in their order
    long = [file for file in ordered if file in seconds]
    short = ordered[len(long) :]
    parts = [long[worker::workers] for worker in range(workers)]
    each = -(-len(short) // workers)
    return [
        file
        for number, part in enumerate(parts)
        for file in (*part, *short[number * each : (number + 1) * each])
    ]


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
