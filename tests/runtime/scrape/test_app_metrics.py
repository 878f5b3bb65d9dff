"""The app's own instruments: named as the stock exporter names them, never breaking a scrape, merged over processes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from slotel.runtime.scrape.app_metrics import AppMetrics
from slotel.runtime.scrape.conversion import Converted
from slotel.runtime.scrape.exposition import Exposition
from slotel.runtime.scrape.published import Board, over_processes
from slotel.runtime.store import Family

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
        "metrics: two instruments of one meter are called k_a; the first answers"
    ]
    assert dropped == [("metrics", "name_collision")]


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


def family(name, kind, value, label_names=(), values=()):
    return Family(name, kind, "", "", label_names, (), {values: (value,)}, {}, 5.0)


def converted(*families, summed=()):
    return Converted(families, frozenset(summed))


def board(directory: Path, who: str, dead: set[str]) -> Board:
    return Board(directory, who, lambda name: name not in dead)


def found_in(families) -> dict:
    return {(one.name, *values): row[0] for one in families for values, row in one.series.items()}


def test_counters_add_up_gauges_say_whose_they_are_and_up_down_counters_add_up(tmp_path):
    own = converted(
        family("orders", "counter", 1),
        family("heat", "gauge", 20),
        family("open", "gauge", 2),
        summed=["open"],
    )
    other = converted(
        family("orders", "counter", 4),
        family("heat", "gauge", 30),
        family("open", "gauge", 5),
        summed=["open"],
    )
    board(tmp_path, "12-1", set()).publish(other)
    found = found_in(over_processes(own, "11-1", board(tmp_path, "11-1", set()).others()))
    assert found == {("orders",): 5.0, ("heat", "11"): 20.0, ("heat", "12"): 30.0, ("open",): 7.0}


def test_alone_a_gauge_carries_no_pid(tmp_path):
    own = converted(family("heat", "gauge", 20))
    assert found_in(over_processes(own, "11-1", board(tmp_path, "11-1", set()).others())) == {("heat",): 20.0}


def test_the_dead_stay_counted_in_one_file_and_their_gauges_go(tmp_path):
    dead: set[str] = set()
    reader = board(tmp_path, "1-1", dead)
    for number in range(2, 30):
        who = f"{number}-1"
        board(tmp_path, who, dead).publish(
            converted(family("orders", "counter", 1), family("heat", "gauge", 1))
        )
        dead.add(who)
        for _ in range(2):
            found = found_in(over_processes(converted(), "1-1", reader.others()))
            assert found == {("orders",): number - 1}
    assert [path.name for path in tmp_path.iterdir()] == ["app-dead.json"]


def test_a_crash_between_folding_and_removing_counts_nothing_twice(tmp_path):
    board(tmp_path, "2-1", set()).publish(converted(family("orders", "counter", 3)))
    before = (tmp_path / "app-2-1.json").read_bytes()
    reader = board(tmp_path, "1-1", {"2-1"})
    reader.others()
    (tmp_path / "app-2-1.json").write_bytes(before)
    for _ in range(2):
        assert found_in(over_processes(converted(), "1-1", reader.others())) == {("orders",): 3.0}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 9}', '{"version":1,"families":[{}],"who":"2-1","summed":[],"folded":[]}'],
)
def test_a_foreign_or_broken_file_is_passed_over(tmp_path, content):
    (tmp_path / "app-2-1.json").write_text(content)
    (tmp_path / "app-dead.json").write_text(content)
    board(tmp_path, "3-1", set()).publish(converted(family("orders", "counter", 3)))
    assert found_in(over_processes(converted(), "1-1", board(tmp_path, "1-1", set()).others())) == {
        ("orders",): 3.0
    }


def test_a_link_in_the_directory_is_not_followed(tmp_path):
    secret = tmp_path / "elsewhere"
    secret.write_text(json.dumps({"version": 1, "who": "2-1", "summed": [], "folded": [], "families": []}))
    run = tmp_path / "run"
    run.mkdir()
    (run / "app-2-1.json").symlink_to(secret)
    assert board(run, "1-1", set()).others() == []


def test_what_was_counted_before_a_fork_stays_the_parents(tmp_path):
    provider = MeterProvider([])
    app = AppMetrics(provider, board=lambda: Board(tmp_path, str(os.getpid()), lambda _: True))
    orders = provider.get_meter("shop").create_counter("orders")
    seconds = provider.get_meter("shop").create_histogram(
        "seconds", explicit_bucket_boundaries_advisory=[1.0]
    )
    orders.add(5)
    seconds.record(0.5)
    child = os.fork()
    if child == 0:
        orders.add(2)
        seconds.record(2.0)
        app.publish()
        os._exit(0)
    os.waitpid(child, 0)
    orders.add(1)
    found = {one.name: next(iter(one.series.values())) for one in app.families()}
    assert found == {"orders": [8.0], "seconds": [1.0, 1.0, 2.5]}


def test_a_full_disk_is_counted_and_the_own_numbers_still_answer(tmp_path):
    dropped = []
    provider = MeterProvider([])
    app = AppMetrics(
        provider,
        board=lambda: Board(tmp_path / "gone", "1-1", lambda _: True),
        dropped=lambda *what: dropped.append(what),
    )
    provider.get_meter("shop").create_counter("orders").add(5)
    assert app.chore() > 0
    assert dropped == [("metrics", "not_published")]


def test_publishing_is_due_only_when_others_may_read():
    assert AppMetrics(MeterProvider([])).chore() is None


def test_publishing_comes_again(tmp_path):
    provider = MeterProvider([])
    app = AppMetrics(provider, board=lambda: Board(tmp_path, "1-1", lambda _: True))
    provider.get_meter("shop").create_counter("orders").add(5)
    assert 0 < app.chore() < 60
    written = (tmp_path / "app-1-1.json").stat().st_mtime_ns
    assert app.chore() > 0
    assert (tmp_path / "app-1-1.json").stat().st_mtime_ns == written
    assert time.time() - written / 1e9 < 60
