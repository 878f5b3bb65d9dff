"""What is measured: each variant as the environment and the command it starts with. Data, no processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
APPS = {"flask": HERE / "apps" / "flask_app.py", "fastapi": HERE / "apps" / "fastapi_app.py"}
LAUNCHER = Path(sys.executable).with_name("opentelemetry-instrument")
WITHOUT_SLOTEL = (
    "import sys; sys.argv[0] = 'opentelemetry-instrument'; "
    "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
)
"""What that command does where slotel is not installed: with it, it becomes the app at once (decision 491)."""

# Only the framework is instrumented, in every variant: what else happens to be installed here must not count.
# (With urllib3 instrumented too, the stock variant gets dearer: each of its POSTs becomes a span.)
_LEFT_OUT = "celery,django,starlette,requests,urllib3,urllib,sqlite3,dbapi,logging,exceptions,threading,asyncio,system_metrics"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the app.

    Args:
        name: what the tables call it; `kind@rate`.
        kind: what apps/wiring.py sets up.
        rate: sampling rate in Sentry (slotel: of everything); None when the variant has no Sentry.
        metrics: None, `app` (served by the app under /metrics) or `port` (a port of its own).
    """

    name: str
    kind: str
    rate: float | None = None
    metrics: str | None = None

    @property
    def command(self) -> list[str]:
        """The words before the script."""
        if self.kind in ("bare", "native"):
            return [sys.executable]
        launcher = [str(LAUNCHER)] if self.kind == "slotel" else [sys.executable, "-c", WITHOUT_SLOTEL]
        return [*launcher, sys.executable]

    def environ(self, base: Mapping[str, str], dsn: str, metrics_port: int) -> dict[str, str]:
        """Return the whole environment; nothing of OTEL_, SENTRY_ or SLOTEL_ is inherited."""
        own = ("OTEL_", "SENTRY_", "SLOTEL_", "ERROR_BUDGET")
        env = {name: value for name, value in base.items() if not name.startswith(own)}
        env |= {"BENCH_KIND": self.kind, "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}
        if self.rate is not None:
            env |= {
                "SENTRY_DSN": dsn,
                "SENTRY_TRACES_SAMPLE_RATE": str(self.rate),
                "SENTRY_RELEASE": "bench@1",
            }
            env |= {"SENTRY_ENVIRONMENT": "bench"}
        if self.kind in ("bare", "native"):
            return env
        slotel = self.kind == "slotel"
        return env | {
            "OTEL_PYTHON_DISTRO": "slotel" if slotel else "distro",
            "OTEL_PYTHON_CONFIGURATOR": "slotel" if slotel else "configurator",
            "OTEL_SERVICE_NAME": "bench",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": _LEFT_OUT,
            "OTEL_TRACES_EXPORTER": "none",  # wiring.py adds a batch processor into nothing
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "prometheus" if self.metrics else "none",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port),
            # the batch thread's work must fall into the window it belongs to
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            **(
                {"SLOTEL_SENTRY_MODE": "transactions", "SLOTEL_CONFIG": str(HERE / "apps/slotel.yaml")}
                if slotel
                else {}
            ),
        }


VARIANTS = {
    each.name: each
    for each in (
        Variant("bare", "bare"),
        Variant("otel", "otel"),
        Variant("otel+prometheus", "otel", metrics="port"),
        Variant("stock@1.0", "stock", 1.0, "port"),
        Variant("stock@0.01", "stock", 0.01, "port"),
        Variant("native@1.0", "native", 1.0, "app"),
        Variant("native@0.01", "native", 0.01, "app"),
        Variant("slotel", "slotel", metrics="port"),
        Variant("slotel@1.0", "slotel", 1.0, "port"),
        Variant("slotel@0.01", "slotel", 0.01, "port"),
    )
}

COUNTS_REQUESTS = {
    "otel": ("http_server_duration_milliseconds_count", "http_server_request_duration_seconds_count"),
    "stock": ("http_server_duration_milliseconds_count", "http_server_request_duration_seconds_count"),
    "native": ("flask_http_request_total", "http_requests_total"),
    "slotel": ("traces_span_metrics_calls_total",),
}
"""The series whose sum must be the number of requests, per kind; the first that is there."""
