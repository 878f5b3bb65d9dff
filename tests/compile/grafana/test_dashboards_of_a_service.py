"""The dashboards over what a real service exposes now: names and labels are asked of slotel itself, not of a script."""

import json
import sys
import time
from pathlib import Path

import pytest

from slotel.compile import dashboards
from support import services
from support.backfilled import Past
from support.launch import Launched, wait_until
from support.ports import free_port
from support.prom import Prometheus
from support.shown import ask, panels, resolve

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's SDK needs Python 3.11"),
]
SHORT = {"__rate_interval": "4s", "__interval": "1s", "__range": "60s"}
"""Grafana's intervals for a scrape each half second."""

ALIVE = {
    "service": (
        "Error rate by Sentry project", "Error budget: rate against limit", "Latency", "Requests", "Errors", "p95",
        "Errors sent to Sentry", "Instances", "Requests by status", "Errors by operation", "Durations", "p95 by operation",
        "Operations", "Errors by release", "p95 by release", "Requests by instance", "Errors by instance", "p95 by instance",
        "Instances by version", "Restarts", "CPU", "Memory", "Garbage collections", "Open files",
    ),
    "slo-detail": ("Live rate against the limit", "Live error rate by window", "Live budget left by instance",
                   "Failing operations of the service"),
    "pipeline": ("Instances by version", "Dropped", "Stage errors", "Tags repaired", "Tags by action", "Targets up",
                 "Scrape duration", "Samples in a scrape"),
}  # fmt: skip
"""Panels that need nothing but a scraped service: no recording rules, no collector."""


def test_every_panel_that_reads_slotels_own_metrics_has_samples_of_a_real_service(tmp_path):
    example = services.ROOT / "examples" / "slotel.yaml"
    environ = {
        "OTEL_SERVICE_NAME": "checkout",
        "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.4.2",
        "SLOTEL_CONFIG": str(example),
        "SENTRY_DSN": f"http://key@127.0.0.1:{free_port()}/42",  # nobody listens: errors are handed over all the same
    }
    boards = {
        Path(path).stem: json.loads(text)
        for path, text in dashboards.files(services.service(services.EXAMPLE)).items()
    }
    with (
        Launched(sys.executable, "flask_app.py", env=environ) as service,
        Prometheus(tmp_path / "prometheus", {"shop": [f"127.0.0.1:{service.metrics_port}"]}) as prometheus,
    ):
        service.wait_ready()
        dead: list[str] = []

        def all_alive() -> bool:
            for path in ("/ok", "/items/7", "/error", "/slow"):
                service.get(path)
            now = time.time()
            past = Past(prometheus.url, int(now - 30), int(now))
            dead[:] = [panel for name in ALIVE for panel in _dead(boards[name], ALIVE[name], past)]
            return not dead

        try:
            wait_until(all_alive, "every panel has samples", 60)
        except AssertionError:
            assert dead == []


def _dead(board: dict, titles: tuple[str, ...], past: Past) -> list[str]:
    try:
        values = {**_resolved(board, past), **SHORT}
    except AssertionError as error:
        return [str(error)]
    shown = [panel for panel in panels(board) if panel["title"] in titles]
    assert {panel["title"] for panel in shown} == set(titles)
    return [
        f"{panel['title']}: {answer.expr}"
        for panel in shown
        for answer in ask(panel, past, values)
        if answer.ref == "A" and (not answer.samples or answer.unusable)
    ]


def _resolved(board: dict, past: Past) -> dict[str, str]:
    """Variables by their own queries; SLO detail's come from recorded series, which are not there: they are given."""
    if board["uid"] == "slotel-slo-detail":
        return {
            "environment": ".*",
            "service": "checkout",
            "slo": "availability",
            "window": "1h",
            "datasource": "",
        }
    return resolve(board, past, {"service": "checkout"} if board["uid"] == "slotel-service" else {})
