"""The storm: what errors cost the service and its other requests. `.venv/bin/python bench/storm.py [--quick]`.

In turns, for each app and variant: 60 good requests a second alone, then with 20 errors a second among them (CPU of one
error, p99 of the good ones), before that the first events of a kind, at the end 200 errors a second (in the first
rounds). Both arrive at random moments, in each variant of a round at the same ones. Variants: the service without
telemetry, sentry-sdk alone (sampling 0.01), slotel (0.01). CPU is what a variant adds to the service without telemetry,
which answers the same errors. A variant whose errors do not arrive is an error of the run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from run import QUICK_OUT, keep, meta
from server import Server, Sink, cpu_seconds
from variants import APPS, HERE, VARIANTS

NAMES = ("bare", "native@0.01", "slotel@0.01")
GOOD, ERRORS, STORM = 60.0, 20.0, 200.0
TARGETS = {"one error": 0.2, "first event": 0.5, "p99 of good": 0.5}


def window(server: Server, seconds: float, errors: float, seed: int) -> dict:
    """Drive good requests, and errors beside them; return the CPU that was used and what each client saw."""
    began = cpu_seconds(server.pid)
    with ThreadPoolExecutor(2) as clients:
        good = clients.submit(server.load, "/ok", int(GOOD * seconds), GOOD, 2 * seed)
        bad = (
            clients.submit(server.load, "/error", int(errors * seconds), errors, 2 * seed + 1)
            if errors
            else None
        )
        seen = good.result()
        failed = bad.result() if bad is not None else {"sent": 0, "seconds": seconds}
    time.sleep(1.0)  # the sender's work belongs to the window
    return {
        "cpu": cpu_seconds(server.pid) - began,
        "p99_ms": seen["p99_ms"],
        "good_per_second": seen["sent"] / seen["seconds"],
        "errors": failed["sent"],
        "errors_per_second": failed["sent"] / failed["seconds"],
    }


def measure(app: str, name: str, seconds: float, storm_seconds: float, sink: Sink, seed: int) -> dict:
    """Return one round of one variant; without the storm where it is to last 0 s."""
    server = Server(app, VARIANTS[name], sink.dsn)
    events = sink.stats().get("event", 0)
    try:
        server.load("/ok", 100, 200.0)
        server.collect_garbage()
        time.sleep(0.5)
        before = cpu_seconds(server.pid)
        server.load("/error", 3, 10.0)
        time.sleep(1.0)
        first = (cpu_seconds(server.pid) - before) / 3
        calm = window(server, seconds, 0.0, seed)
        mixed = window(server, seconds, ERRORS, seed)
        arrived = _arrived(sink, events, 3 + mixed["errors"]) if name != NAMES[0] else 0
        storm = window(server, storm_seconds, STORM, seed) if storm_seconds else None
    finally:
        server.stop()
    seen = {
        "first_ms": first * 1e3,
        "error_ms": (mixed["cpu"] - calm["cpu"]) / max(mixed["errors"], 1) * 1e3,
        "p99_ms": mixed["p99_ms"],
        "calm_p99_ms": calm["p99_ms"],
        "events": arrived,
    }
    if storm is not None:
        seen |= {"storm_good": storm["good_per_second"], "storm_errors": storm["errors_per_second"]}
    return seen


def _arrived(sink: Sink, before: int, expected: int) -> int:
    """Return how many events have come; wait for all of them.

    Raises:
        RuntimeError: some are missing, so that what the variant costs says nothing.
    """
    deadline = time.monotonic() + 20.0
    while (found := sink.stats().get("event", 0) - before) < expected and time.monotonic() < deadline:
        time.sleep(0.2)
    if found < expected:
        raise RuntimeError(f"{found} of {expected} errors have arrived")
    return found


def _added(found: dict[str, list[dict]], name: str, key: str) -> float:
    """Return the median over the rounds of what a variant adds to the service without telemetry."""
    pairs = zip(found[name], found[NAMES[0]], strict=True)
    return statistics.median(each[key] - bare[key] for each, bare in pairs)


def table(app: str, found: dict[str, list[dict]], how: str) -> list[str]:
    """Return one app's figures as lines of Markdown."""
    lines = [
        f"### {app}, {how}",
        "",
        "| variant | first event, ms added | one error, ms added | p99 of good ms (calm) | at 200/s: good/s | errors/s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in NAMES:
        middle = {
            key: statistics.median(each[key] for each in found[name] if key in each) for key in found[name][0]
        }
        lines.append(
            f"| {name} | {_added(found, name, 'first_ms'):.1f} | {_added(found, name, 'error_ms'):.2f} | "
            f"{middle['p99_ms']:.1f} ({middle['calm_p99_ms']:.1f}) | "
            f"{middle['storm_good']:.1f} | {middle['storm_errors']:.1f} |"
        )
    bare, native, slotel = NAMES
    ratios = {
        "one error": _added(found, slotel, "error_ms") / _added(found, native, "error_ms"),
        "first event": _added(found, slotel, "first_ms") / _added(found, native, "first_ms"),
        "p99 of good": statistics.median(each["p99_ms"] for each in found[slotel])
        / statistics.median(each["p99_ms"] for each in found[native]),
    }
    lines += ["", "| slotel / | what | ratio | sentry-sdk's | to reach |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| sentry-sdk | {what} | {ratio:.2f} | 1 | ≤ {TARGETS[what]:g} |" for what, ratio in ratios.items()
    ]
    for what, key, target in (
        ("p99 of good", "p99_ms", "≤ 3"),
        ("good/s in the storm", "storm_good", "≥ 0.9"),
        ("errors/s in the storm", "storm_errors", "≥ 0.9"),
    ):
        theirs, own = (
            statistics.median(
                each[key] / base[key]
                for each, base in zip(found[name], found[bare], strict=True)
                if key in each
            )
            for name in (native, slotel)
        )
        lines.append(f"| without telemetry | {what} | {own:.2f} | {theirs:.2f} | {target} |")
    return [*lines, ""]


def main() -> int:
    """Print a table for each app, medians of the rounds, and put it into RESULTS.md; an app left out keeps its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of 3 s, some three minutes: whether it works, not what it costs",
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0, help="of calm, and of 20 errors a second")
    parser.add_argument("--storm-seconds", type=float, default=60.0, help="of 200 errors a second")
    parser.add_argument("--storm-rounds", type=int, default=3, help="the first so many rounds have the storm")
    parser.add_argument("--app", choices=APPS, action="append", help="one of the apps; default both")
    parser.add_argument("--out", type=Path, help="folder of RESULTS.md and RESULTS.json; default as run.py's")
    options = parser.parse_args()
    rounds, seconds, storm_seconds = options.rounds, options.seconds, options.storm_seconds
    if options.quick:
        rounds, seconds, storm_seconds = 1, 3.0, 3.0
    about = meta(sys.argv[1:], "bench/storm.py")
    tables: dict[str, list[str]] = {}
    with Sink() as sink:
        for app in options.app or APPS:
            found: dict[str, list[dict]] = {name: [] for name in NAMES}
            for number in range(rounds):
                lasts = storm_seconds if number < options.storm_rounds else 0.0
                for name in NAMES:
                    found[name].append(measure(app, name, seconds, lasts, sink, number))
                    print(
                        app, name, found[name][-1], file=sys.stderr, flush=True
                    )  # all that a run that is cut leaves
            tables[app] = table(
                app,
                found,
                f"medians of {rounds} rounds of {seconds:g} s, the storm {storm_seconds:g} s in {min(options.storm_rounds, rounds)} of them",
            )
            print("\n".join(tables[app]))
    keep(options.out or (QUICK_OUT if options.quick else HERE), "storm", {"apps": tables}, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
