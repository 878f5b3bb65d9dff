"""What the app keeps in prometheus_client's global registry is served, and not counted twice after a fork."""

from __future__ import annotations

import json
import os

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from slotel.runtime.metrics.scrape.exposition import Exposition
from slotel.runtime.metrics.scrape.sources.registry import GlobalRegistry


@pytest.fixture
def registry(monkeypatch) -> CollectorRegistry:
    """A global registry of this test's own."""
    made = CollectorRegistry()
    monkeypatch.setattr(prometheus_client, "REGISTRY", made)
    return made


def samples(text: str) -> dict:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_every_kind_of_metric_is_written_as_the_library_writes_it(registry):
    Counter("orders", "Orders.", ["team"], registry=registry).labels("a").inc(3)
    Gauge("heat", "Heat.", registry=registry).set(21.5)
    histogram = Histogram("seconds", "Time.", ["route"], buckets=(0.1, 1.0), registry=registry)
    for value in (0.05, 0.5, 0.5, 7):
        histogram.labels("/x").observe(value)
    Summary("size", "Size.", registry=registry).observe(4)
    Info("build", "Build.", registry=registry).info({"version": "1"})
    written = "".join(Exposition().render(GlobalRegistry().families()))
    assert samples(written) == samples(generate_latest(registry).decode())


def test_what_the_library_registers_itself_is_left_out():
    names = {family.name for family in GlobalRegistry().families()}
    assert not any(name.startswith(("process_", "python_")) for name in names)


def test_what_was_counted_before_a_fork_stays_the_parents(registry):
    orders = Counter("orders", "Orders.", registry=registry)
    seconds = Histogram("seconds", "Time.", buckets=(1.0,), registry=registry)
    orders.inc(5)
    seconds.observe(0.5)
    found = GlobalRegistry()
    listen, report = os.pipe()
    child = os.fork()
    if child == 0:
        orders.inc(2)
        seconds.observe(3)
        rows = {family.name: list(family.series[()]) for family in found.families()}
        os.write(report, json.dumps(rows).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert json.loads(os.read(listen, 4096)) == {"orders": [2.0], "seconds": [0.0, 1.0, 3.0]}
    assert {family.name: list(family.series[()]) for family in found.families()} == {
        "orders": [5.0], "seconds": [1.0, 0.0, 0.5],
    }  # fmt: skip
    os.close(listen)
    os.close(report)


def test_a_collector_that_fails_is_counted_and_raises_nothing(registry):
    class Broken:
        def describe(self):
            return []

        def collect(self):
            raise RuntimeError("no")

    Counter("orders", "Orders.", registry=registry).inc()
    registry.register(Broken())
    dropped = []
    assert [family.name for family in GlobalRegistry(lambda *what: dropped.append(what)).families()] == [
        "orders"
    ]
    assert dropped == [("metrics", "collector_failed")]
