"""Fuzzes every target for a while: by atheris where it is installed, else by mutation of seeds and corpus.

An input that breaks a promise goes into the corpus, which `make test` replays.

python tests/fuzz/run.py --seconds 60 [TARGET …]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from targets import SEEDS, TARGETS

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / ".cache" / "fuzz"
"""What atheris keeps because it reaches new code."""
PIECES = (
    b"\x00", b"\xff", b"\n", b"\r\n", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b"-", b"1e309", b"NaN", b"-1", b"9" * 30,
    b"\xed\xa0\x80", "\u2028".encode(), "é".encode(), b"&a", b"*a", b"<<: ", b"!!python/object", b"%", b"/", b"null", b"true",
    b" " * 20, b"{{.window}}", b"[5m]", b"sum(", b")",
)  # fmt: skip
LONGEST = 4096


def mutated(data: bytes, chance: random.Random, pool: list[bytes]) -> bytes:
    made = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(made))
        kind = chance.randrange(6)
        if kind == 0 and made:
            made[at % len(made)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            made[at:at] = chance.choice(PIECES)
        elif kind == 2 and made:
            del made[at : at + chance.randint(1, 12)]
        elif kind == 3 and made:
            made[at:at] = made[at : at + chance.randint(1, 40)] * chance.randint(1, 3)
        elif kind == 4:
            other = chance.choice(pool)
            made[at:] = other[chance.randint(0, len(other)) :]
        else:
            made[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 4)))
    return bytes(made[:LONGEST])


def keep(name: str, data: bytes, error: BaseException, seen: set[tuple[str, str, int | None]]) -> None:
    """Put an input that broke a promise into the corpus, if it is the first one of its place."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = (type(error).__name__, last.filename, last.lineno)
    if where in seen:
        return
    seen.add(where)
    place = CORPUS / name
    place.mkdir(parents=True, exist_ok=True)
    (place / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    print(f"{name}: {where}: {error!r:.200}", file=sys.stderr, flush=True)


def fuzz(name: str, seconds: float, chance: random.Random) -> tuple[int, int]:
    """Mutate seeds and corpus; return the number of executions and of promises that were broken."""
    target, pool = TARGETS[name], [*SEEDS[name], *(path.read_bytes() for path in (CORPUS / name).glob("*"))]
    runs, seen, until = 0, set(), time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutated(chance.choice(pool), chance, pool)
        runs += 1
        if runs % 50 == 0 and len(pool) < 2000:
            pool.append(data)
        try:
            target(data)
        except Exception as error:
            keep(name, data, error, seen)
    return runs, len(seen)


def guided(name: str, seconds: float) -> tuple[int, int]:
    """Fuzz by coverage, in a process of its own; return the same."""
    own = FOUND / name
    own.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(SEEDS[name]):
        (own / f"seed-{number}").write_bytes(data)
    corpora = [str(own), *(str(place) for place in [CORPUS / name] if place.is_dir())]
    options = [f"-max_total_time={seconds:.0f}", "-max_len=4096", "-timeout=60", "-rss_limit_mb=4096"]
    command = [sys.executable, str(Path(__file__).with_name("guided.py")), name, *corpora, *options]
    done = subprocess.run(
        [*command, "-print_final_stats=1", f"-artifact_prefix={own}/"], capture_output=True, text=True
    )
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    broken = [line for line in done.stderr.splitlines() if line.startswith(f"{name}: ")]
    if done.returncode or runs is None:  # a crash, a time-out, memory
        broken.append(done.stderr[-2000:])
    print("\n".join(broken), file=sys.stderr, flush=True)
    return int(runs[1]) if runs is not None else 0, len(broken)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("targets", nargs="*", default=list(TARGETS))
    options.add_argument("--seconds", type=float, default=60.0, help="for each target")
    options.add_argument("--seed", type=int, default=None)
    found = options.parse_args()
    chance, total = random.Random(found.seed), 0
    by_coverage = importlib.util.find_spec("atheris") is not None
    print(
        f"| target | executions{', guided by coverage' if by_coverage else ''} | broken promises |\n| --- | ---: | ---: |"
    )
    everything = 0
    for name in found.targets:
        runs, broken = guided(name, found.seconds) if by_coverage else fuzz(name, found.seconds, chance)
        total += broken
        everything += runs
        print(f"| {name} | {runs:,} | {broken} |", flush=True)
    print(f"| together | {everything:,} | {total} |")
    return 1 if total else 0


if __name__ == "__main__":
    raise SystemExit(main())
