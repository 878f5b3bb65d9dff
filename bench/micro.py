"""The command line of every `micro_*.py`: rows as JSON for run.py, or a line each for people. Measures nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from targets import Target, reached


def main(about: str | None, rows: Callable[[bool], list[dict]]) -> None:
    """Measure and print.

    Args:
        rows: given whether to be quick, returns rows by the convention of README.md.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    found = rows(options.quick)
    if options.json:
        print(json.dumps(found))
        return
    for each in found:
        target = Target(each["what"], "", "", each["target"], each.get("at_least", False))
        print(
            f"{each['what']}: {each['value']:.3g} {each['unit']} against {each['baseline_value']:.3g} "
            f"({each['baseline']}): ratio {each['ratio']:.3f}, target {each['target']:g}: "
            f"{'reached' if reached(each['ratio'], target) else 'MISSED'}"
        )
