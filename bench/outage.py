"""Memory over a long outage: `.venv/bin/python bench/outage.py [--minutes 5] [--fault refuse|hang|5xx]`.

sentry-sdk alone and slotel, side by side, both at sampling rate 1.0: 60 good requests and 20 errors of one kind a second while Sentry has
the fault, and in each tenth of it an error of another kind. Then Sentry is back, and what arrives of the outage is counted: events,
kinds, transactions, and what `slotel_dropped_total` and the client reports to Sentry say of the others.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from server import Server, memory_kib
from storm import ERRORS, GOOD
from variants import VARIANTS

from slotel.cli.sink.server import SentrySink
from slotel.runtime.redaction.events import values

NAMES = ("native@1.0", "slotel@1.0")


def outage(name: str, app: str, fault: str, seconds: float, every: float) -> dict:
    """Return MB of resident memory, sampled from the start of the outage on, and how much was sent and arrived."""
    with SentrySink(keep=100_000) as sink:
        server = Server(app, VARIANTS[name], sink.dsn())
        try:
            server.load("/ok", 200, 200.0)
            server.load("/error", 20, 20.0)
            time.sleep(3.0)
            sink.set_fault(fault)
            before = sink.stats()
            sizes = [memory_kib(server.pid)["rss"]]
            with ThreadPoolExecutor(2) as clients:
                loads = [
                    clients.submit(server.load, path, int(rate * seconds), rate, 1)
                    for path, rate in (("/ok", GOOD), ("/error", ERRORS))
                ]
                begun = time.monotonic()
                rare = 0
                while not all(load.done() for load in loads):
                    rare += server.load(f"/rare/{rare}", 1, 20.0)["sent"]
                    time.sleep(min(every, max(0.1, begun + every * len(sizes) - time.monotonic())))
                    sizes.append(memory_kib(server.pid)["rss"])
                good, errors = (load.result()["sent"] for load in loads)
            sink.set_fault("none")
            _settle(sink)
            after = sink.stats()
            lost = server.lost()
        finally:
            server.stop()
    raised = [values(event, "exception") for event in sink.payloads("event")]
    kinds = {each[-1]["value"] for each in raised if each and each[-1]["type"] == "LookupError"}
    reported = {"error": 0, "transaction": 0}
    for report in sink.payloads("client_report"):
        for each in report["discarded_events"]:
            reported[each["category"]] = reported.get(each["category"], 0) + each["quantity"]
    arrived = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in ("event", "transaction")}
    return {
        "MB": [size / 1024 for size in sizes], "errors": errors + rare, "events": arrived["event"],
        "rare": rare, "kinds": len(kinds), "requests": good + errors + rare, "transactions": arrived["transaction"],
        "lost": lost, "reported": reported,
    }  # fmt: skip


def _settle(sink: SentrySink) -> None:
    """Wait until nothing has arrived for longer than any sender waits between two attempts."""
    seen, since = sink.stats(), time.monotonic()
    while time.monotonic() - since < 40.0:
        time.sleep(1.0)
        if sink.stats() != seen:
            seen, since = sink.stats(), time.monotonic()


def main() -> None:
    """Print a table: a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--fault", default="refuse")
    parser.add_argument("--app", default="flask")
    options = parser.parse_args()
    every = options.minutes * 60 / 10
    with ThreadPoolExecutor() as runs:
        found = runs.map(
            lambda name: outage(name, options.app, options.fault, options.minutes * 60, every), NAMES
        )
        print(
            "| variant | MB, by tenths of the outage | errors | events arrived | lost: /metrics; client reports "
            "| rare errors | of them arrived | requests | transactions arrived | lost: /metrics; client reports |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, seen in zip(NAMES, found, strict=True):
            sizes = ", ".join(f"{size:.0f}" for size in seen["MB"])
            lost, reported = seen["lost"], seen["reported"]
            print(
                f"| {name} | {sizes} | {seen['errors']:,} | {seen['events']:,} | {lost.get('errors', 0):,.0f}; "
                f"{reported['error']:,} | {seen['rare']} | {seen['kinds']} | {seen['requests']:,} | "
                f"{seen['transactions']:,} | {lost.get('traces', 0):,.0f}; {reported['transaction']:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
