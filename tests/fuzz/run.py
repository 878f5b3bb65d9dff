"""Fuzzes every target for a while: seeds and corpus, mutated. An input that breaks a promise goes into the corpus.

python tests/fuzz/run.py --seconds 60 [TARGET …]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from targets import SEEDS, TARGETS

CORPUS = Path(__file__).parent / "corpus"
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


def fuzz(name: str, seconds: float, chance: random.Random) -> tuple[int, int]:
    """Return the number of executions and of inputs that broke the promise."""
    target, pool = TARGETS[name], [*SEEDS[name], *(path.read_bytes() for path in (CORPUS / name).glob("*"))]
    runs, broken, seen, until = 0, 0, set(), time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutated(chance.choice(pool), chance, pool)
        runs += 1
        if runs % 50 == 0 and len(pool) < 2000:
            pool.append(data)
        try:
            target(data)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = (type(error).__name__, last.filename, last.lineno)
            if where in seen:
                continue
            seen.add(where)
            broken += 1
            place = CORPUS / name
            place.mkdir(parents=True, exist_ok=True)
            (place / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
            print(f"{name}: {where}: {error!r:.200}", file=sys.stderr)
    return runs, broken


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("targets", nargs="*", default=list(TARGETS))
    options.add_argument("--seconds", type=float, default=60.0, help="for each target")
    options.add_argument("--seed", type=int, default=None)
    found = options.parse_args()
    chance, total = random.Random(found.seed), 0
    print("| target | executions | broken promises |\n| --- | ---: | ---: |")
    for name in found.targets:
        runs, broken = fuzz(name, found.seconds, chance)
        total += broken
        print(f"| {name} | {runs:,} | {broken} |", flush=True)
    return 1 if total else 0


if __name__ == "__main__":
    raise SystemExit(main())
