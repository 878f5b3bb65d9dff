"""One target under atheris, which keeps what reaches new code: `python tests/fuzz/guided.py TARGET [libFuzzer's options]`.

An input that breaks the promise goes into the corpus, once for each place, and the fuzzing goes on.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import atheris

with atheris.instrument_imports(include=["slotel"]):
    from targets import TARGETS

from run import keep

name = sys.argv.pop(1)
target, seen = TARGETS[name], set()


def once(data: bytes) -> None:
    try:
        target(data)
    except Exception as error:
        keep(name, data, error, seen)


atheris.Setup(sys.argv, once)
atheris.Fuzz()
