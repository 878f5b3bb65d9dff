"""The app's own instruments: named as the stock exporter names them, never breaking a scrape, merged over processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from slotel.runtime.metrics.instruments.fork_reset import count_from_zero_after_fork
from slotel.runtime.metrics.scrape.exposition import Exposition
from slotel.runtime.metrics.scrape.merge import added
from slotel.runtime.metrics.scrape.sources.app_metrics import AppMetrics
from slotel.runtime.metrics.scrape.sources.published import combine, decode, encode, over_processes
from slotel.runtime.metrics.store.store import Family, Store
from slotel.runtime.metrics.workers.workers import Workers

EXPONENTIAL = [View(instrument_name="exp.*", aggregation=ExponentialBucketHistogramAggregation())]


def text(app: AppMetrics) -> str:
    return "".join(Exposition().render(app.families()))


def samples(exposition: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (
            sample.name,
            tuple(sorted((key, value) for key, value in sample.labels.items() if value)),
        ): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_names_labels_and_values_are_those_of_the_stock_exporter():
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(disable_target_info=True, registry=registry)])
    app = AppMetrics(provider)
    meter = provider.get_meter("shop", "1.2", "https://schema.example", {"team": "a"})
    meter.create_counter("orders.taken", unit="1", description='Orders "taken".').add(
        3, {"http.route": "/x", "ok": True}
    )
    meter.create_counter("bytes", unit="By").add(7)
    meter.create_up_down_counter("in.flight").add(-2, {"list": ["a", "b"]})
    meter.create_histogram("request.duration", unit="ms").record(12.5, {"9lives": 'quote " and\nline'})
    meter.create_histogram("rate", unit="By/s").record(1)
    meter.create_observable_gauge(
        "temperature", [lambda _: [Observation(21.5, {"room": "a"}), Observation(3)]], unit="Cel"
    )
    meter.create_observable_counter("seen", [lambda _: [Observation(9)]])
    provider.get_meter("other").create_counter("orders.taken", unit="1").add(1, {"colour": "red"})
    assert samples(text(app)) == samples(generate_latest(registry).decode())


def test_an_exponential_histogram_becomes_a_classic_one_and_breaks_nothing():
    provider = MeterProvider([], views=EXPONENTIAL)
    app = AppMetrics(provider)
    meter = provider.get_meter("shop")
    meter.create_counter("orders").add(1)
    recorded = [0, 0.5, 0.75, 1, 3, 1000, 1e9]
    for value in recorded:
        meter.create_histogram("exp.duration", unit="s").record(value)
    found = samples(text(app))
    labels = (("otel_scope_name", "shop"),)
    assert found["orders_total", labels] == 1
    assert found["exp_duration_seconds_count", labels] == len(recorded)
    for bound in (0.5, 1.0, 2.0, 4.0, 1024.0):
        key = ("exp_duration_seconds_bucket", (("le", str(bound)), *labels))
        assert found[key] == sum(value <= bound for value in recorded), bound


def test_a_wide_exponential_histogram_keeps_its_total():
    provider = MeterProvider([], views=EXPONENTIAL)
    app = AppMetrics(provider)
    for value in (1e-12, 1e-3, 1, 1e12, 1e30):
        provider.get_meter("shop").create_histogram("exp.wide").record(value)
    found = samples(text(app))
    assert found["exp_wide_bucket", (("le", "+Inf"), ("otel_scope_name", "shop"))] == 5


def test_two_instruments_of_one_name_get_one_answer_and_one_warning(caplog):
    dropped = []
    provider = MeterProvider([])
    app = AppMetrics(provider, dropped=lambda *what: dropped.append(what))
    meter = provider.get_meter("shop")
    meter.create_counter("k.a").add(3)
    meter.create_counter("k_a").add(4)
    for _ in range(2):
        assert samples(text(app)) == {("k_a_total", (("otel_scope_name", "shop"),)): 3.0}
    assert [r.message for r in caplog.records if r.name == "slotel"] == [
        "metrics: two instruments of one meter are named k_a; only the first one is served"
    ]
    assert dropped == [("metrics", "name_collision")]


def test_a_counter_and_an_up_down_counter_of_one_name_are_not_added_up():
    provider = MeterProvider([])
    app, meter = AppMetrics(provider), provider.get_meter("shop")
    meter.create_counter("jobs").add(5)
    meter.create_up_down_counter("jobs").add(-3)
    found = {family.kind: list(family.series.values()) for family in app.families() if family.name == "jobs"}
    assert found == {"counter": [(5.0,)], "gauge": [(-3.0,)]}


def test_a_measurement_in_a_sampled_span_leaves_its_exemplar():
    provider = MeterProvider([])
    app = AppMetrics(provider)
    histogram = provider.get_meter("shop").create_histogram("duration", unit="s")
    with TracerProvider().get_tracer("shop").start_as_current_span("order") as span:
        histogram.record(7)
        context = span.get_span_context()
    lines = "".join(Exposition().render(app.families(), openmetrics=True)).splitlines()
    assert [line.partition(" # ")[2].rpartition(" ")[0] for line in lines if " # " in line] == [
        f'{{trace_id="{context.trace_id:032x}",span_id="{context.span_id:016x}"}} 7'
    ]


# -- several processes -----------------------------------------------------------------------------------------


def family(name, kind, value, label_names=(), values=(), adds_up=False):
    return Family(name, kind, "", "", label_names, (), {values: (value,)}, {}, 5.0, adds_up)


def found_in(families) -> dict:
    return {(one.name, *values): row[0] for one in families for values, row in one.series.items()}


def test_counters_add_up_gauges_say_whose_they_are_and_up_down_counters_add_up():
    own = [
        family("orders", "counter", 1),
        family("heat", "gauge", 20),
        family("open", "gauge", 2, adds_up=True),
    ]
    other = [
        family("orders", "counter", 4),
        family("heat", "gauge", 30),
        family("open", "gauge", 5, adds_up=True),
    ]
    found = found_in(over_processes(("11", own), [("12", decode(encode(other)))]))
    assert found == {("orders",): 5.0, ("heat", "11"): 20.0, ("heat", "12"): 30.0, ("open",): 7.0}


def test_alone_a_gauge_carries_no_pid():
    assert found_in(over_processes(("11", [family("heat", "gauge", 20)]), [])) == {("heat",): 20.0}


def test_of_the_dead_what_they_counted_stays_and_their_gauges_go():
    one = [
        family("orders", "counter", 1),
        family("heat", "gauge", 20),
        family("open", "gauge", 2, adds_up=True),
    ]
    left = decode(combine([encode(one), encode(one), b"broken", combine([encode(one)])]))
    assert found_in(left) == {("orders",): 3.0}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"version": 9}', b'{"version":1,"families":[{}],"summed":[]}']
)
def test_a_broken_file_is_passed_over(content):
    assert decode(content) is None


class Service:
    """This process as the first of a service, with real files."""

    def __init__(self, directory: Path) -> None:
        self.store = Store()
        self.workers = Workers(self.store, {"XDG_RUNTIME_DIR": str(directory)}, "shop")
        self.dropped: list[tuple[str, str]] = []
        self.provider = MeterProvider([])
        assert count_from_zero_after_fork(self.provider)
        self.app = AppMetrics(
            self.provider, workers=self.workers, dropped=lambda *what: self.dropped.append(what)
        )
        self.meter = self.provider.get_meter("shop")

    def in_child(self, work) -> None:
        child = os.fork()
        if child == 0:
            try:
                work()
                self.app.publish()
            finally:
                os._exit(0)
        os.waitpid(child, 0)

    def found(self) -> dict:
        return {one.name: next(iter(one.series.values())) for one in self.app.families()}


def test_what_was_counted_before_a_fork_stays_the_parents(tmp_path):
    service = Service(tmp_path)
    orders = service.meter.create_counter("orders")
    seconds = service.meter.create_histogram("seconds", explicit_bucket_boundaries_advisory=[1.0])
    orders.add(5)
    seconds.record(0.5)
    service.in_child(lambda: (orders.add(2), seconds.record(2.0)))
    orders.add(1)
    assert {name: list(row) for name, row in service.found().items()} == {
        "orders": [8.0],
        "seconds": [1.0, 1.0, 2.5],
    }


def test_recycled_children_leave_few_files_and_nothing_falls(tmp_path):
    service = Service(tmp_path)
    orders = service.meter.create_counter("orders")
    heat = service.meter.create_gauge("heat")
    seen = []
    for _ in range(12):
        service.in_child(lambda: (orders.add(1), heat.set(20)))
        seen.append(service.found()["orders"][0])
        service.workers.tick()
        seen.append(service.found()["orders"][0])
    assert seen == [float(n // 2 + 1) for n in range(24)]
    assert "heat" not in service.found()
    assert len(list(Path(service.workers.run_dir.path).glob("*.app"))) <= 2


def test_where_nothing_can_be_written_the_others_numbers_are_in_memory_that_they_share(tmp_path):
    blocked = tmp_path / "run"
    blocked.mkdir()
    service = Service(blocked)
    orders = service.meter.create_counter("orders")
    blocked.chmod(0o500)
    if os.access(blocked, os.W_OK):  # root writes anywhere
        blocked.rmdir()
    service.in_child(lambda: orders.add(2))
    orders.add(1)
    assert service.found()["orders"] == (3.0,)


def test_a_process_that_is_alone_publishes_nothing(tmp_path):
    service = Service(tmp_path)
    service.meter.create_counter("orders").add(1)
    assert service.app.chore() is None
    assert list(tmp_path.iterdir()) == []


def test_publishing_is_due_again_and_again_where_there_are_others(tmp_path):
    service = Service(tmp_path)
    orders = service.meter.create_counter("orders")
    service.in_child(lambda: None)
    orders.add(5)
    assert 0 < service.app.chore() < 60
    (written,) = Path(service.workers.run_dir.path).glob(f"{os.getpid()}-*.app")
    before = written.stat().st_mtime_ns
    service.app.chore()
    assert written.stat().st_mtime_ns == before, "not due yet"


def test_what_publishing_loads_is_loaded_before_the_first_fork_and_not_by_a_process_that_forks_nobody():
    """A gevent worker patches the locks of imports while its scrape thread would import."""
    code = """
import os, sys
from opentelemetry.sdk.metrics import MeterProvider
from slotel.runtime.metrics.scrape.sources.app_metrics import AppMetrics
app = AppMetrics(MeterProvider([]))
alone = "prometheus_client" in sys.modules
child = os.fork()
if child == 0:
    os._exit(0 if {"prometheus_client", "opentelemetry.exporter.prometheus"} <= sys.modules.keys() else 1)
print(alone, os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=170)
    assert (done.stdout, done.stderr) == ("False 0\n", "")


def counter_of(value: float) -> Family:
    return Family("spent", "counter", "", "", ("kind",), (), {("a",): (value,)})


@pytest.mark.unit
@given(values=st.lists(st.floats(0, 1e18), min_size=3, max_size=8), at=st.data())
def test_no_death_of_a_process_lets_a_counter_of_the_app_fall_or_rise_by_its_last_bit(values, at):
    def total(families):
        (family,) = families
        return family.series["a",][0]

    before = total(added(map(counter_of, values)))
    order = at.draw(st.permutations(values))
    first, second = sorted(at.draw(st.integers(0, len(order))) for _ in range(2))
    once = combine([encode([counter_of(value)]) for value in order[:first]])
    twice = combine([once, *(encode([counter_of(value)]) for value in order[first:second])])
    assert total(added([*(decode(twice) or ()), *map(counter_of, order[second:])])) == before


@pytest.mark.parametrize("values", [(float("inf"), 1.0), (float("inf"), float("-inf"), 1.0), (1e308, 1e308)])
def test_values_that_are_infinite_are_added_as_floats_are(values):
    (family, *_) = added(decode(combine([encode([counter_of(value)]) for value in values])) or ())
    assert repr(family.series["a",][0]) == repr(sum(values))
