"""Runs the demo's parts in their own processes and reads what slotel made of them. Shows nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import IO, Any

from slotel.cli.demo.load import PHASES, Load
from slotel.cli.local import free_port, read_samples
from slotel.cli.sink.server import SentrySink
from slotel.config import names

_NOT_INHERITED = (
    "OTEL_EXPORTER", "OTEL_TRACES", "OTEL_METRICS", "OTEL_LOGS", "OTEL_CONFIG", "OTEL_RESOURCE", "SLOTEL_", "SENTRY_",
    "ERROR_BUDGET_",
)  # fmt: skip
"""The caller's variables for its own service must not change the demo's."""
CONFIGURATION = """\
version: 1
slos:
  - name: availability
    objective: 90%
    period: 1d          # short, so that the alert fires and ends within the demo's minute
    description: Nine of ten requests are answered.
"""
SETTLE = 10.0
"""Seconds that the last counts and events may take."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of requests sent and of data received."""

    requests_sent: int
    requests_counted: int
    good: int
    bad: int
    excluded: int
    errors_raised: int
    sentry_issues: int
    sentry_transactions: int
    error_ratio: float
    budget_limit: float
    budget_remaining: float
    p50_ms: float
    p95_ms: float

    @property
    def exact(self) -> bool:
        """Sent = counted = good + bad + excluded, and each error raised is one issue."""
        outcomes = self.good + self.bad + self.excluded
        return (
            self.requests_sent == self.requests_counted == outcomes
            and self.errors_raised == self.sentry_issues
        )

    def as_json(self) -> dict[str, Any]:
        """Return the numbers and the verdict."""
        return {**asdict(self), "exact": self.exact}


@dataclass
class Demo:
    """A running demo: the service, its load and its Sentry."""

    sink: SentrySink
    load: Load
    metrics_url: str

    def numbers(self) -> Numbers:
        """Read the numbers as they are now."""
        samples = read_samples(self.metrics_url)
        server = {"span_kind": "SPAN_KIND_SERVER"}
        latencies = sorted(self.load.latencies) or [0.0]
        return Numbers(
            requests_sent=self.load.sent,
            requests_counted=round(_sum(samples, f"{names.SPAN_CALLS}_total", server)),
            good=round(_sum(samples, f"{names.SLO_EVENTS}_total", {names.LABEL_OUTCOME: names.GOOD})),
            bad=round(_sum(samples, f"{names.SLO_EVENTS}_total", {names.LABEL_OUTCOME: names.BAD})),
            excluded=round(_sum(samples, f"{names.SLO_EVENTS}_total", {names.LABEL_OUTCOME: names.EXCLUDED})),
            errors_raised=self.load.failed,
            sentry_issues=self.sink.events - self.breaches,
            sentry_transactions=self.sink.transactions,
            error_ratio=_sum(samples, names.BUDGET_ERROR, {names.LABEL_WINDOW: "1h"}),
            budget_limit=_sum(samples, names.BUDGET_LIMIT, {}),
            budget_remaining=_sum(samples, names.BUDGET_REMAINING, {}),
            p50_ms=round(latencies[len(latencies) // 2] * 1000, 2),
            p95_ms=round(latencies[int(len(latencies) * 0.95)] * 1000, 2),
        )

    @property
    def page_url(self) -> str:
        """The address of the status page."""
        return self.metrics_url.removesuffix("metrics")

    @property
    def breaches(self) -> int:
        """Events that the budget meter itself sent: no error of the service."""
        return sum("error budget" in _title(event) for event in self.sink.payloads("event"))

    def issues(self, most: int = 5) -> list[str]:
        """Return the titles of the latest Sentry events."""
        return [_title(event) for event in self.sink.payloads("event")[-most:]]

    def stay(self) -> None:
        """Send requests without errors until Ctrl-C."""
        self.load = Load(self.load.port, inf, phases=PHASES[-1:])
        self.load.start()
        with suppress(KeyboardInterrupt):
            self.load.join()

    def settled(self) -> Numbers:
        """Wait until what was sent has arrived, or no longer than SETTLE; return the numbers."""
        until = time.monotonic() + SETTLE
        numbers = self.numbers()
        while not numbers.exact and time.monotonic() < until:
            time.sleep(0.1)
            numbers = self.numbers()
        return numbers


@contextmanager
def running(seconds: float, log: Path, metrics_port: int) -> Iterator[Demo]:
    """Start the demo's parts; end them afterwards. Raises RuntimeError if the service did not start, with its log."""
    port = free_port()
    with SentrySink() as sink, log.open("w") as output:
        service = _start_service(port, metrics_port, sink.dsn(1), output, log.parent)
        try:
            _wait_ready(service, port, log)
            load = Load(port, seconds)
            load.start()
            demo = Demo(sink, load, f"http://127.0.0.1:{metrics_port}/metrics")
            yield demo
            demo.load.stop()
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(15)


def _sum(samples: list[tuple[str, dict[str, str], float]], name: str, labels: dict[str, str]) -> float:
    return sum(
        value for found, having, value in samples if found == name and labels.items() <= having.items()
    )


def _start_service(
    port: int, metrics_port: int, dsn: str, output: IO[str], folder: Path
) -> subprocess.Popen[bytes]:
    (folder / "slotel.yaml").write_text(CONFIGURATION, encoding="utf-8")
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    environ = {
        **kept,
        "PORT": str(port),
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port),
        "SENTRY_DSN": dsn,
        "SENTRY_PROJECT": "shop",
        "SENTRY_ENVIRONMENT": "demo",
        "SENTRY_RELEASE": "shop@1.0.0",
        "SENTRY_TRACES_SAMPLE_RATE": "0.25",
    }
    command = [str(launcher), sys.executable, "-m", "slotel.cli.demo.shop"]
    return subprocess.Popen(command, env=environ, cwd=folder, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603 our own service


def _wait_ready(service: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if service.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the demo's service did not start:\n{log.read_text()}")


def _title(event: dict[str, Any]) -> str:
    values = (event.get("exception") or {}).get("values") or []
    if values:
        return f"{values[-1].get('type')}: {values[-1].get('value')}"
    message = event.get("message") or (event.get("logentry") or {}).get("formatted") or ""
    return str(message)
