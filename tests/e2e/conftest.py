"""Services that run for a whole session: one Flask, one FastAPI, each under real auto-instrumentation with a Sentry sink."""

import sys

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import Launched

SLOTEL_YAML = """\
version: 1
tags:
  set: {region: eu-west-1}
  required:
    team: {default: payments}
    tier: {allowed: [free, pro], default: unknown}
  redact: ["*.password"]
  metric_labels: [team]
slos:
  - name: availability
    objective: 95%
  - name: fast
    objective: 99%
    latency: 300ms
"""


@pytest.fixture(scope="session")
def sink():
    with SentrySink() as started:
        yield started


@pytest.fixture(scope="session")
def configuration(tmp_path_factory):
    path = tmp_path_factory.mktemp("configuration") / "slotel.yaml"
    path.write_text(SLOTEL_YAML)
    return path


@pytest.fixture(scope="session")
def flask_service(sink, configuration):
    env = {
        "SENTRY_DSN": sink.dsn("42"),
        "SENTRY_ENVIRONMENT": "test",
        "SENTRY_RELEASE": "shop@1.2.3",
        "SLOTEL_CONFIG": str(configuration),
    }
    with Launched(sys.executable, "flask_app.py", env=env) as service:
        yield service.wait_ready()


@pytest.fixture(scope="session")
def fastapi_service(sink, configuration):
    env = {"SENTRY_DSN": sink.dsn("43"), "SLOTEL_CONFIG": str(configuration), "OTEL_SERVICE_NAME": "api"}
    with Launched(sys.executable, "fastapi_app.py", env=env) as service:
        yield service.wait_ready()
