"""A pytest plugin for the tests of services: its fixture `telemetry` returns what slotel recorded.

The plugin is loaded if slotel is installed, and does nothing until a test uses the fixture, or pytest's configuration
has `slotel_telemetry = true`. No data leaves the machine: Sentry is a sink on loopback.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from slotel.cli.sink.server import SentrySink
    from slotel.runtime.state import Runtime

OPTION: Final = "slotel_telemetry"
_OFF: Final = {
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "SENTRY_TRACES_SAMPLE_RATE": "1",
    "SLOTEL_HANDLE_SIGTERM": "false",
}
"""Variables of a test run: no port, no exporter, every transaction."""


class Budget(NamedTuple):
    """Events of one objective since the test began."""

    good: int
    bad: int
    excluded: int


@dataclass
class Telemetry:
    """The data that slotel recorded since the test began."""

    _runtime: Runtime
    _sink: SentrySink
    _exported: InMemorySpanExporter
    _before: Mapping[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The ended spans as an exporter receives them: with enforced tags, redacted."""
        return self._exported.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        """Return the span of this name.

        Raises:
            AssertionError: there is none, or more than one.
        """
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            names = sorted({span.name for span in self.spans})
            raise AssertionError(
                f"{len(found)} spans are called {name!r}; there are: {', '.join(names) or 'none'}"
            )
        return found[0]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The error events and messages as Sentry receives them: decoded JSON, oldest first."""
        return self._received("event")

    @property
    def transactions(self) -> list[dict[str, Any]]:
        """The transactions as Sentry receives them: decoded JSON, oldest first."""
        return self._received("transaction")

    def metric(self, name: str, **labels: str) -> float:
        """Return the increase of a counter, or of a histogram's count, since the test began; summed over series.

        Args:
            name: the name in Prometheus: `traces_span_metrics_calls_total`, `slo_events_total`.
            labels: label matchers; only series with these values are summed.
        """
        now = _samples(self._runtime)
        grown = (
            value - self._before.get(key, 0.0)
            for key, value in now.items()
            if key[0] == name and labels.items() <= dict(key[1]).items()
        )
        return sum(grown)

    def budget(self, slo: str = "availability") -> Budget:
        """Return the events of an objective since the test began."""
        counts = [
            int(self.metric("slo_events_total", slo_name=slo, slo_outcome=outcome))
            for outcome in Budget._fields
        ]
        return Budget(*counts)

    def _received(self, kind: str) -> list[dict[str, Any]]:
        self._runtime.flush(5.0)
        return [payload for payload in self._sink.payloads(kind) if payload.get("logger") != "slotel.budget"]

    def reset(self) -> None:
        """Forget what was recorded so far."""
        self._runtime.flush(5.0)
        self._sink.clear()
        self._exported.clear()
        self._before = _samples(self._runtime)


_STARTED: Final[list[Telemetry]] = []
_CLEANUP: Final = contextlib.ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that starts slotel before test modules are imported."""
    text = "start slotel before tests are collected, so that apps made at import are instrumented"
    parser.addini(OPTION, text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Start slotel if the configuration asks for it."""
    if config.getini(OPTION):
        _start(os.environ)


def pytest_unconfigure() -> None:
    """End the sink."""
    _CLEANUP.close()


@pytest.fixture
def telemetry() -> Telemetry:
    """The telemetry of the code under test: spans, metrics, Sentry events, budget; from zero for each test."""
    started = _start(os.environ)
    started.reset()
    return started


def _start(environ: MutableMapping[str, str]) -> Telemetry:
    """Start slotel in this process as auto-instrumentation would, once; the instrumentations too."""
    if _STARTED:
        return _STARTED[0]
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from slotel.cli.sink.server import SentrySink
    from slotel.config.names import SLOTEL_RUN_DIR
    from slotel.runtime.bootstrap import start

    sink = _CLEANUP.enter_context(SentrySink())
    for name, value in _OFF.items():
        environ[name] = value
    environ["SENTRY_DSN"] = sink.dsn()
    environ.setdefault("OTEL_SERVICE_NAME", "under-test")
    environ.pop(SLOTEL_RUN_DIR, None)  # of pytest-xdist's controller: its workers would count together
    runtime = start(environ)
    provider = trace.get_tracer_provider()
    if runtime is None or not isinstance(provider, TracerProvider):
        raise RuntimeError("slotel is off: unset OTEL_SDK_DISABLED")
    exported = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    _instrument()
    _STARTED.append(Telemetry(runtime, sink, exported))
    return _STARTED[0]


def _instrument() -> None:
    from importlib.metadata import entry_points

    from slotel.runtime.distro import SlotelDistro

    distro = SlotelDistro()
    for entry_point in entry_points(group="opentelemetry_instrumentor"):
        with contextlib.suppress(ImportError):  # the library that it is for is not installed
            distro.load_instrumentor(entry_point)


def _samples(runtime: Runtime) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the value of each counter and the count of each histogram, by its Prometheus name and labels."""
    found = {}
    for family in runtime.store.snapshot():
        if family.kind == "gauge":
            continue
        for values, numbers in family.series.items():
            labels = tuple(zip(family.label_names, values, strict=False))
            if family.kind == "counter":
                found[f"{family.name}_total", labels] = float(numbers[0])
            else:
                found[f"{family.name}_count", labels] = float(sum(numbers[:-1]))
    return found
