"""A day of a shop, written down as the counters that Prometheus would have scraped. Deterministic: no clock, no chance.

checkout (instances a, b): a busy day; 10:15 to 10:55 the payment provider fails, a new version came at 10:10 and the
next at 10:50; 18:00 to 19:00 everything is slow; instance b restarts at 14:00. search (one instance): little traffic,
and none from 02:00 to 03:00. billing is no Python: its spans reach Prometheus through the collector, its own metrics by OTLP.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from slotel.config import names
from slotel.config.names import SPAN_BOUNDS
from slotel.config.service import Service, read_service
from slotel.config.slo import Slo

START = 1_772_409_600
"""2026-03-02T00:00:00Z: a Monday, on a two-hour boundary."""
DAY = 86_400
END = START + DAY
SCRAPE = 120
PROJECT = "shop"
Labels = tuple[tuple[str, str], ...]
Key = tuple[str, str, Labels]


@dataclass(frozen=True)
class Operation:
    """What a service does, or what it calls: a second at noon, how long (median), how often it fails."""

    name: str
    kind: str
    rate: float
    median: float
    failing: float
    route: str = ""
    is_payment: bool = False
    peer: tuple[str, str] = ("", "")
    """Of a call: the called side, and the kind of connection."""


@dataclass(frozen=True)
class Target:
    """A scraped instance."""

    service: str
    instance: str
    share: float
    operations: tuple[Operation, ...]


CHECKOUT = (
    Operation("GET /products/{id}", "SERVER", 14, 0.018, 0.0001, "/products/{id}"),
    Operation("GET /cart", "SERVER", 6, 0.035, 0.0001, "/cart"),
    Operation("POST /checkout", "SERVER", 1.5, 0.1, 0.0005, "/checkout", is_payment=True),
    Operation("GET /recommendations", "SERVER", 5, 0.06, 0.0003, "/recommendations"),
    Operation("orders process", "CONSUMER", 1.2, 0.08, 0.0002),
    Operation("SELECT shop.orders", "CLIENT", 9, 0.004, 0.0001, peer=("orders", "database")),
    Operation(
        "POST payments.example",
        "CLIENT",
        1.5,
        0.09,
        0.001,
        is_payment=True,
        peer=("payments.example", "virtual_node"),
    ),
)
SEARCH = (Operation("GET /search", "SERVER", 0.8, 0.05, 0.001, "/search"),)
TARGETS = (
    Target("checkout", "10.0.0.11:9464", 0.5, CHECKOUT),
    Target("checkout", "10.0.0.12:9464", 0.5, CHECKOUT[:5]),
    Target("search", "10.0.0.21:9464", 1.0, SEARCH),
)
EDGES = (*(edge for edge in SPAN_BOUNDS if 0.005 <= edge <= 2.5), math.inf)

SLOS = {"checkout": ("availability", "latency", "recommendations"), "search": ("availability",)}


def services(example: str) -> tuple[Service, Service]:
    """checkout as the example's slotel.yaml has it, and search with one objective."""
    checkout = read_service({}, example).service
    slo = Slo("availability", limit=0.01, objective=0.99)
    return checkout, replace(checkout, name="search", slos=(slo,))


def openmetrics() -> Iterator[str]:
    """The day as OpenMetrics text: every sample with its time."""
    families: dict[str, list[tuple[Key, list[tuple[int, float]]]]] = {}
    for counters in (*map(_day, TARGETS), _collector(), *_billing()):
        for key, samples in counters.samples():
            families.setdefault(key[0], []).append((key, samples))
    for family, series in families.items():
        yield f"# TYPE {family} {series[0][0][1]}\n"
        for (_, _, labels), samples in series:
            (_, name), *rest = labels
            text = f"{name}{{{','.join(f'{key}={_quoted(value)}' for key, value in rest)}}}"
            yield "".join(f"{text} {value} {at}\n" for at, value in samples)
    yield "# EOF\n"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- the script ------------------------------------------------------------------------------------------------


def _between(at: int, start: float, end: float) -> bool:
    return start <= (at - START) / 3600 < end


def _load(service: str, at: int) -> float:
    """Traffic as a share of noon's."""
    if service == "search" and _between(at, 2, 3):
        return 0.0
    hour = (at - START) / 3600
    wave = 0.55 - 0.45 * math.cos((hour - 3.5) / 24 * 2 * math.pi)
    return wave * (1 + 0.06 * math.sin(hour * 9.7) + 0.04 * math.sin(hour * 31.3))


def _failing(operation: Operation, at: int) -> float:
    if operation.is_payment and _between(at, 10.25, 10.92):
        return 0.5
    return operation.failing


def _slowness(at: int) -> float:
    return 2.2 if _between(at, 18, 19) else 1.0 + 0.15 * math.sin((at - START) / 3600 * 2.1)


def _below(edge: float, median: float) -> float:
    """Share of durations below the edge: log-normal, sigma 0.6."""
    if edge == math.inf:
        return 1.0
    return 0.5 * (1 + math.erf(math.log(edge / median) / (0.6 * math.sqrt(2))))


# -- what is scraped -------------------------------------------------------------------------------------------


class _Counters:
    """Cumulative values, sampled at each scrape; a restart begins them anew."""

    def __init__(self, common: Labels):
        self.common = common
        self.slots: dict[tuple[str, ...], int] = {}
        self.keys: list[Key] = []
        self.values: list[float | None] = []
        self.scrapes: list[tuple[int, list[float | None]]] = []

    def add(self, family: str, amount: float, name: str = "", kind: str = "counter", **labels: str) -> None:
        slot = self._slot(family, kind, name or f"{family}_total", labels)
        self.values[slot] = (self.values[slot] or 0.0) + amount

    def set(self, family: str, value: float | None, **labels: str) -> None:
        self.values[self._slot(family, "gauge", family, labels)] = value

    def _slot(self, family: str, kind: str, name: str, labels: dict[str, str]) -> int:
        short = (name, *labels.values())
        slot = self.slots.get(short)
        if slot is None:
            slot = self.slots[short] = len(self.keys)
            self.keys.append((family, kind, (("__name__", name), *self.common, *labels.items())))
            self.values.append(None)
        return slot

    def scrape(self, at: int) -> None:
        self.scrapes.append((at, list(self.values)))

    def restart(self) -> None:
        self.values = [
            value if key[1] == "gauge" else 0.0 for key, value in zip(self.keys, self.values, strict=True)
        ]

    def samples(self) -> Iterator[tuple[Key, list[tuple[int, float]]]]:
        for slot, key in enumerate(self.keys):
            whole = float if key[1] == "gauge" else int
            yield (
                key,
                [
                    (at, whole(value))
                    for at, values in self.scrapes
                    if slot < len(values) and (value := values[slot]) is not None
                ],
            )


def _day(target: Target) -> _Counters:
    counters = _Counters((("environment", "production"), ("job", "shop"), ("instance", target.instance)))
    second = target.instance.endswith("12:9464")
    _open(counters, target)
    counters.scrape(START - SCRAPE)
    for at in range(START, END + 1, SCRAPE):
        if second and at == START + 14 * 3600:
            counters.restart()
        _traffic(counters, target, at)
        _itself(counters, target, at, as_otel=not second)
        counters.scrape(at)
    return counters


def _open(counters: _Counters, target: Target) -> None:
    """Series that slotel opens at 0."""
    for slo in SLOS[target.service]:
        for outcome in names.OUTCOMES:
            counters.add(names.SLO_EVENTS, 0, service_name=target.service, slo_name=slo, slo_outcome=outcome)
    counters.add(names.SENTRY_ERRORS, 0, project=PROJECT, project_id="4508123")


def _traffic(counters: _Counters, target: Target, at: int) -> None:
    for operation in target.operations:
        count = operation.rate * target.share * _load(target.service, at) * SCRAPE
        failed = count * _failing(operation, at)
        median = operation.median * _slowness(at)
        below = [_below(edge, median) for edge in EDGES]
        _spans(counters, target, operation, count - failed, median, below, is_bad=False)
        _spans(counters, target, operation, failed, median, below, is_bad=True)
        if any(operation.peer):
            _call(counters, target, operation.peer, count, failed)
        if operation.kind in {"SERVER", "CONSUMER"}:
            _events(counters, target, operation, count, failed, median)
            counters.add(names.SENTRY_ERRORS, failed, project=PROJECT, project_id="4508123")
    for slo in SLOS[target.service]:
        counters.add(names.SLO_EVENTS, 4, service_name=target.service, slo_name=slo, slo_outcome="excluded")


def _call(counters: _Counters, target: Target, peer: tuple[str, str], count: float, failed: float) -> None:
    labels = {"client": target.service, "server": peer[0], "connection_type": peer[1]}
    counters.add(names.GRAPH_CALLS, count, **labels)
    counters.add(names.GRAPH_FAILED, failed, **labels)


def _spans(
    counters: _Counters,
    target: Target,
    operation: Operation,
    count: float,
    median: float,
    below: list[float],
    *,
    is_bad: bool,
) -> None:
    labels = {
        "service_name": target.service, "span_name": operation.name, "span_kind": f"SPAN_KIND_{operation.kind}",
        "status_code": "STATUS_CODE_ERROR" if is_bad else "STATUS_CODE_UNSET", "http_route": operation.route,
        "http_response_status_code": ("500" if is_bad else "200") if operation.route else "",
    }  # fmt: skip
    counters.add(names.SPAN_CALLS, count, **labels)
    for edge, share in zip(EDGES, below, strict=True):
        le = "+Inf" if edge == math.inf else str(edge)
        counters.add(
            names.SPAN_DURATION, count * share, f"{names.SPAN_DURATION}_bucket", "histogram", **labels, le=le
        )
    mean = median * math.exp(0.18)
    counters.add(names.SPAN_DURATION, count * mean, f"{names.SPAN_DURATION}_sum", "histogram", **labels)
    counters.add(names.SPAN_DURATION, count, f"{names.SPAN_DURATION}_count", "histogram", **labels)


def _events(
    counters: _Counters, target: Target, operation: Operation, count: float, failed: float, median: float
) -> None:
    slow = (count - failed) * (1 - _below(0.3, median))
    for slo in SLOS[target.service]:
        if slo == "recommendations" and "recommendations" not in operation.route:
            continue
        bad = failed + slow if slo == "latency" else failed
        for outcome, amount in (("good", count - bad), ("bad", bad)):
            counters.add(
                names.SLO_EVENTS, amount, service_name=target.service, slo_name=slo, slo_outcome=outcome
            )


# -- slotel and the process themselves -------------------------------------------------------------------------


def _itself(counters: _Counters, target: Target, at: int, *, as_otel: bool) -> None:
    in_incident = _between(at, 10.25, 10.92)
    version = "1.4.0" if at < START + 10.17 * 3600 else "1.4.1" if at < START + 10.83 * 3600 else "1.4.2"
    for known in ("1.4.0", "1.4.1", "1.4.2"):
        runs = 1 if known == version else None
        counters.set("target_info", runs, service_name=target.service, service_version=known)
    counters.set(names.BUILD_INFO, 1, version="0.1.0")
    counters.add(names.DROPPED, 3 if in_incident else 0, signal="traces", reason="queue_full")
    counters.add(names.STAGE_ERRORS, 1 if in_incident else 0, stage="sentry")
    counters.add(names.TAG_VIOLATIONS, 2 + 3 * _load(target.service, at), tag="tier", action="unknown")
    counters.add(names.TAG_VIOLATIONS, 1, tag="password", action="redact")
    counters.add(names.SERIES_OVERFLOW, 1 if _between(at, 18, 18.2) else 0, metric=names.SPAN_DURATION)
    _workers(counters, target, at)
    counters.set("up", 1)
    counters.set("scrape_duration_seconds", 0.004 + 0.002 * _load(target.service, at))
    counters.set("scrape_samples_post_metric_relabeling", 300 + 40 * len(target.operations))
    busy = 0.35 * _load(target.service, at) * SCRAPE
    memory = 9e7 + 2e7 * _load(target.service, at)
    if as_otel:
        counters.add("process_cpu_time_seconds", busy, type="user")
        counters.set("process_memory_usage_bytes", memory)
        counters.add("cpython_gc_collections", busy * 2, generation="0")
        counters.set("process_open_file_descriptor_count", 40)
    else:
        counters.add("process_cpu_seconds", busy)
        counters.set("process_resident_memory_bytes", memory)
        counters.add("python_gc_collections", busy * 2, generation="0")
        counters.set("process_open_fds", 42)
    _live(counters, target, at)


def _workers(counters: _Counters, target: Target, at: int) -> None:
    """checkout runs two workers, one is recycled every two hours; 14:00 one is killed. search is one process."""
    load = _load(target.service, at)
    for reason, ends in ((names.EXITED, at % 7200 == 0), (names.KILLED, at == START + 14 * 3600)):
        counters.add(names.WORKER_EXITS, int(ends and target.service == "checkout"), reason=reason)
    counters.set(names.WORKERS, 2 if target.service == "checkout" else 1)
    if target.service != "checkout":
        return
    _call(counters, target, ("search", "virtual_node"), 0.6 * load * SCRAPE, 0.0)
    for worker, share in (("0", 0.6), ("1", 0.4)):
        requests = 13 * share * load * SCRAPE
        counters.add(names.WORKER_REQUESTS, requests, worker=worker)
        counters.add(names.WORKER_ERRORS, requests * 0.001, worker=worker)
        counters.add(names.WORKER_BUSY, requests * 0.05, worker=worker)
        counters.add(names.WORKER_CPU, 0.2 * share * load * SCRAPE, worker=worker)
        counters.set(names.WORKER_MEMORY, 6e7 + 4e7 * (at % 7200) / 7200, worker=worker)


def _live(counters: _Counters, target: Target, at: int) -> None:
    """The gauges of the process's own meter, roughly: what counts here is that they are there."""
    for slo in SLOS[target.service]:
        limit = {"availability": 0.001, "latency": 0.01, "recommendations": 0.05}[slo]
        counters.set(names.BUDGET_LIMIT, limit, slo_name=slo)
        counters.set(names.BUDGET_REMAINING, 1 - (at - START) / DAY * 0.4, slo_name=slo)
        for window, factor in (("5m", 1.0), ("30m", 0.8), ("1h", 0.6), ("6h", 0.3)):
            ratio = limit * factor * (6 if _between(at, 10.25, 11) else 0.5)
            counters.set(names.BUDGET_ERROR, ratio, slo_name=slo, window=window)
            counters.set(names.BUDGET_BURN, ratio / limit, slo_name=slo, window=window)


def _collector() -> _Counters:
    """The collector's own telemetry, spelled as 0.159 writes it (no `_total`)."""
    counters = _Counters((("job", "collector"), ("instance", "10.0.0.5:8888")))
    for at in range(START, END + 1, SCRAPE):
        spans = 40 * _load("checkout", at) * SCRAPE
        is_down = _between(at, 10.3, 10.6)
        for signal, amount in (("spans", spans), ("metric_points", 600.0)):
            counted = {"kind": "unknown", "receiver": "otlp", "transport": "http"}
            counters.add(
                f"otelcol_receiver_accepted_{signal}",
                amount,
                name=f"otelcol_receiver_accepted_{signal}",
                **counted,
            )
            counters.add(
                f"otelcol_receiver_refused_{signal}", 0, name=f"otelcol_receiver_refused_{signal}", **counted
            )
            for what, share in (("sent", 0.0 if is_down else 1.0), ("send_failed", 0.2 if is_down else 0.0)):
                name = f"otelcol_exporter_{what}_{signal}"
                counters.add(name, amount * share, name=name, kind="unknown", exporter="otlp_http")
        counters.add("otelcol_exporter_enqueue_failed_spans", 0, name="otelcol_exporter_enqueue_failed_spans",
                     kind="unknown", exporter="otlp_http")  # fmt: skip
        counters.set(
            "otelcol_exporter_queue_size", 700 if is_down else 3, exporter="otlp_http", data_type="traces"
        )
        counters.set("otelcol_exporter_queue_capacity", 1000, exporter="otlp_http", data_type="traces")
        counters.set("otelcol_process_memory_rss", 8e7)
        counters.add("otelcol_process_cpu_seconds", 3, name="otelcol_process_cpu_seconds", kind="unknown")
        counters.set("otelcol_process_uptime", at - START + 1)
        counters.scrape(at)
    return counters


def _billing() -> tuple[_Counters, _Counters]:
    """A service that only sends spans and its runtime's metrics: the series as a scraped collector has them."""
    spans = _Counters((("job", "collector"), ("instance", "10.0.0.5:8889")))
    own = _Counters((("job", "billing"), ("instance", "billing-7d9f")))
    operation = Operation("POST /invoices", "SERVER", 2, 0.05, 0.001, "/invoices")
    target = Target("billing", "", 1.0, (operation,))
    below = [_below(edge, operation.median) for edge in EDGES]
    for at in range(START, END + 1, SCRAPE):
        count = operation.rate * _load("billing", at) * SCRAPE
        _spans(spans, target, operation, count, operation.median, below, is_bad=False)
        own.set("target_info", 1, service_version="9.1")
        own.set("process_memory_usage_bytes", 2e8)
        spans.scrape(at)
        own.scrape(at)
    return spans, own
