"""Every way in which a request can go, over real servers, beside plain sentry-sdk. `make requests` runs all services."""

import json
import os
import subprocess

import pytest

from support.launch import clean_environ
from support.requests_matrix import APPS_BIN, FOLDER, SERVICES, faults, run

applications = pytest.mark.skipif(
    not (APPS_BIN / "opentelemetry-instrument").exists() and os.environ.get("REQUIRE_REAL") != "1",
    reason="the applications are not installed: make apps",
)
QUICK = ("Flask, gunicorn gthread", "bare ASGI, uvicorn")
"""What `make test` has time for."""


@applications
@pytest.mark.parametrize("service", [service for service in SERVICES if service.name in QUICK], ids=QUICK)
def test_each_request_is_answered_counted_named_and_reported_as_the_table_says(service):
    cells = list(run(service))
    assert len(cells) > 5
    assert [
        (case.path, case.client, faults(service, case, *both))
        for case, *both in cells
        if faults(service, case, *both)
    ] == []


def told_by(script):
    done = subprocess.run(
        [str(APPS_BIN / "opentelemetry-instrument"), str(APPS_BIN / "python"), script],
        cwd=FOLDER, env=clean_environ(OTEL_SERVICE_NAME="shop", OTEL_METRICS_EXPORTER="none"),
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@applications
def test_a_job_of_celery_is_judged_by_what_its_task_says():
    good, bad, excluded = {"good": 1.0}, {"bad": 1.0}, {"excluded": 1.0}
    assert told_by("celery_jobs.py") == {
        "succeeds": good, "fails": bad, "expected": good, "ignored": excluded, "rejected": excluded,
        "retried": {**bad, **excluded},
    }  # fmt: skip


@applications
def test_a_call_of_grpc_is_judged_by_the_code_that_its_client_gets():
    good, bad = {"good": 1.0}, {"bad": 1.0}
    assert told_by("grpc_calls.py") == {
        "ok": ["OK", good], "raises": ["UNKNOWN", bad], "not_found": ["NOT_FOUND", good], "internal": ["INTERNAL", bad],
        "data_loss": ["DATA_LOSS", bad], "stream_breaks": ["UNKNOWN", bad],
    }  # fmt: skip
