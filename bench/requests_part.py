"""CPU per request, start-up CPU and delivery: in each round a server for every variant, driven in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from server import Server, Sink, cpu_seconds
from variants import VARIANTS, Variant

WARM_UP = 30
SETTLE = 0.5
WINDOW = 1.0
"""Seconds of load before it is another variant's turn: a machine's own pace changes within the minute."""
ERRORS_PART = 5
"""Of `/error` so many times fewer requests are driven: they write logs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to drive: seconds for each route at `rate` requests a second, in windows of a second."""

    rounds: int
    seconds: float
    rate: float
    routes: tuple[str, ...]

    @property
    def windows(self) -> int:
        return max(1, round(self.seconds / WINDOW))

    def count(self, route: str) -> int:
        """Return the requests of one window."""
        full = round(self.seconds * self.rate / self.windows)
        return max(10, full // ERRORS_PART) if route == "/error" else full

    def total(self, route: str) -> int:
        """Return the requests of a round, without warm-up."""
        return self.windows * self.count(route)


@dataclass(slots=True)
class Driven:
    """What a route's windows of one round add up to."""

    cpu: float = 0.0
    sent: int = 0
    seconds: float = 0.0
    p50s: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)

    def add(self, cpu: float, seen: dict) -> None:
        self.cpu += cpu
        self.sent += seen["sent"]
        self.seconds += seen["seconds"]
        self.p50s.append(seen["p50_ms"])
        self.p99s.append(seen["p99_ms"])

    def numbers(self) -> dict:
        """Return sums, and the medians of the windows' percentiles."""
        return {
            "cpu": self.cpu,
            "sent": self.sent,
            "seconds": self.seconds,
            "p50_ms": median(self.p50s),
            "p99_ms": median(self.p99s),
        }


class Contender:
    """One variant's server in one round."""

    def __init__(self, app: str, variant: Variant, plan: Plan, sink: Sink) -> None:
        self._variant, self._plan, self._sink = variant, plan, sink
        self._before = sink.stats()
        self._routes = {route: Driven() for route in plan.routes}
        self._server = Server(app, variant, sink.dsn)
        self._server.get("/ok")
        self._startup = cpu_seconds(self._server.pid)
        self._sent = 1

    def warm_up(self) -> None:
        for route in self._plan.routes:
            count = 5 if route == "/error" else WARM_UP
            self._sent += self._server.load(route, count, self._plan.rate)["sent"]
        self._server.collect_garbage()
        self._settle()

    def drive(self, route: str) -> None:
        """Drive one window; what belongs to it happens in it."""
        start = cpu_seconds(self._server.pid)
        seen = self._server.load(route, self._plan.count(route), self._plan.rate)
        self._sent += seen["sent"]
        self._settle()
        self._routes[route].add(cpu_seconds(self._server.pid) - start, seen)

    def _settle(self) -> None:
        """Rest for half a second, and until Sentry has everything (at most 5 s)."""
        time.sleep(SETTLE)
        if self._variant.rate == 1.0:
            self._sink.wait_transactions(self._before.get("transaction", 0) + self._sent, seconds=5.0)

    def stop(self) -> None:
        self._server.stop()

    def finish(self) -> dict:
        """End the process; return the round's raw numbers, in seconds and counts."""
        scraped = self._server.requests_in_metrics()
        end = cpu_seconds(self._server.pid)
        stopped = self._server.stop()
        taken = {name: count - self._before.get(name, 0) for name, count in self._sink.stats().items()}
        routes = {route: driven.numbers() for route, driven in self._routes.items()}
        return {
            "startup_cpu": self._startup,
            "routes": routes,
            "sent": self._sent,
            "scraped": scraped,
            "exit_cpu": stopped.cpu - end,
            "exit_status": stopped.status,
            "sink": taken,
            "faults": faults(self._variant, self._plan, self._sent, scraped, taken, stopped.status)
            + slack_pace(routes, self._plan),
        }


def measure(app: str, names: Sequence[str], plan: Plan, sinks: Mapping[str, Sink]) -> dict[str, dict]:
    """Return one round's raw numbers of each variant, or why it has none.

    Args:
        names: of the variants, in the order of their turns.
        sinks: one for each variant, which tells whose a transaction is.
    """
    found: dict[str, dict] = {}
    running: dict[str, Contender] = {}

    def each(step) -> None:
        for name in names:
            if name in found:
                continue
            try:
                step(name)
            except Exception as error:
                found[name] = {"failed": f"{type(error).__name__}: {error}"}
                if name in running:
                    running.pop(name).stop()

    def start(name: str) -> None:
        running[name] = Contender(app, VARIANTS[name], plan, sinks[name])

    try:
        each(start)
        each(lambda name: running[name].warm_up())
        for _ in range(plan.windows):
            for route in plan.routes:
                each(lambda name, route=route: running[name].drive(route))
        results: dict[str, dict] = {}
        each(lambda name: results.update({name: running.pop(name).finish()}))
        return results | found
    finally:
        for contender in running.values():
            contender.stop()


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
    errors = plan.total("/error") + 5 if "/error" in plan.routes else 0
    expected = sent if variant.rate == 1.0 else sent * variant.rate
    # a random sampler: five standard deviations; slotel also keeps the traces of errors
    slack = 0.01 * sent if variant.rate == 1.0 else 5 * (expected**0.5) + 1
    kept = errors if variant.kind == "slotel" and variant.rate < 1.0 else 0
    if not expected - slack <= transactions <= expected + slack + kept:
        found.append(f"{transactions} transactions at the sink, expected {expected:.0f}")
    if taken.get("event", 0) < 0.99 * errors:
        found.append(f"{taken.get('event', 0)} error events at the sink, expected {errors}")
    children = (plan.total("/work") + WARM_UP) * 10 if "/work" in plan.routes else 0
    if variant.rate == 1.0 and taken.get("spans", 0) < 0.99 * (sent + children):
        found.append(f"{taken.get('spans', 0)} spans at the sink, expected {sent + children}")
    return found
