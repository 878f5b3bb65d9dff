"""CPU per request, start-up CPU and delivery: one server process for each variant, route after route, in rounds."""

from __future__ import annotations

import time
from dataclasses import dataclass

from server import Server, Sink, cpu_seconds
from variants import Variant

WARM_UP = 30
SETTLE = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to drive: seconds for each route at `rate` requests a second; errors are fewer, they write logs."""

    rounds: int
    seconds: float
    rate: float
    routes: tuple[str, ...]

    def count(self, route: str) -> int:
        full = round(self.seconds * self.rate)
        return max(10, full // 5) if route == "/error" else full


def measure(app: str, variant: Variant, plan: Plan, sink: Sink) -> dict:
    """Return one round's raw numbers of one variant, in seconds and counts."""
    before = sink.stats()
    server = Server(app, variant, sink.dsn)
    try:
        server.get("/ok")
        result: dict = {"startup_cpu": cpu_seconds(server.pid), "routes": {}}
        sent = 1
        for route in plan.routes:
            sent += server.load(route, 5 if route == "/error" else WARM_UP, plan.rate)["sent"]
        settle(variant, sink, before, sent)
        for route in plan.routes:
            start = cpu_seconds(server.pid)
            seen = server.load(route, plan.count(route), plan.rate)
            sent += seen["sent"]
            settle(variant, sink, before, sent)
            result["routes"][route] = {**seen, "cpu": cpu_seconds(server.pid) - start}
        scraped = server.requests_in_metrics()
        end = cpu_seconds(server.pid)
    finally:
        stopped = server.stop()
    taken = {name: count - before.get(name, 0) for name, count in sink.stats().items()}
    return result | {
        "sent": sent,
        "scraped": scraped,
        "exit_cpu": stopped.cpu - end,
        "exit_status": stopped.status,
        "sink": taken,
        "faults": faults(variant, plan, sent, scraped, taken, stopped.status)
        + slack_pace(result["routes"], plan),
    }


def settle(variant: Variant, sink: Sink, before: dict[str, int], sent: int) -> None:
    """Let what belongs to the window happen in it: half a second, and until Sentry has everything (at most 5 s)."""
    time.sleep(SETTLE)
    if variant.rate == 1.0:
        sink.wait_transactions(before.get("transaction", 0) + sent, seconds=5.0)


def slack_pace(routes: dict[str, dict], plan: Plan) -> list[str]:
    """Return which routes were not driven at the rate: idle or late requests cost another CPU than paced ones."""
    paces = {route: seen["sent"] / seen["seconds"] for route, seen in routes.items() if route != "/error"}
    return [f"{route} paced at {pace:.0f}/s" for route, pace in paces.items() if pace < 0.9 * plan.rate]


def faults(
    variant: Variant, plan: Plan, sent: int, scraped: float | None, taken: dict, status: int
) -> list[str]:
    """Return why this round's numbers are not worth their price: work that the variant should do and did not."""
    found = []
    if status != 0:
        found.append(f"exit status {status}")
    if variant.metrics and (scraped is None or not 0.99 * sent <= scraped <= 1.01 * sent + 5):
        found.append(f"metrics report {scraped} of {sent} requests")
    if variant.rate is None:
        return found
    transactions = taken.get("transaction", 0)
    errors = plan.count("/error") + 5 if "/error" in plan.routes else 0
    expected = sent if variant.rate == 1.0 else sent * variant.rate
    # a random sampler: five standard deviations; slotel also keeps the traces of errors
    slack = 0.01 * sent if variant.rate == 1.0 else 5 * (expected**0.5) + 1
    kept = errors if variant.kind == "slotel" and variant.rate < 1.0 else 0
    if not expected - slack <= transactions <= expected + slack + kept:
        found.append(f"{transactions} transactions at the sink, expected {expected:.0f}")
    if taken.get("event", 0) < 0.99 * errors:
        found.append(f"{taken.get('event', 0)} error events at the sink, expected {errors}")
    children = sum(plan.count(route) + WARM_UP for route in plan.routes if route == "/work") * 10
    if variant.rate == 1.0 and taken.get("spans", 0) < 0.99 * (sent + children):
        found.append(f"{taken.get('spans', 0)} spans at the sink, expected {sent + children}")
    return found
