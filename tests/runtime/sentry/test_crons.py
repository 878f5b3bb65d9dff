"""Check-ins of Celery's beat and of `@sentry_sdk.crons.monitor` are those of plain sentry-sdk, field by field."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentry_sdk

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, clean_environ, launched_by

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an app of sentry-sdk 2"),
]
OF_A_RUN = ("check_in_id", "event_id", "timestamp", "contexts", "sdk")


def check_ins(how):
    """Each check-in without what differs from run to run, and the states that were sent for each id."""
    with SentrySink() as sink:
        env = clean_environ(
            SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none", SENTRY_TRACES_SAMPLE_RATE="1",
        )  # fmt: skip
        done = subprocess.run(
            [*launched_by(how, "celery"), sys.executable, "crons.py"],
            env=env, cwd=APPS / "errors", timeout=170, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        sent = [
            payload
            for envelope in sink.envelopes
            for header, payload in envelope.items
            if header["type"] == "check_in"
        ]
    times = {}
    for payload in sent:
        times.setdefault(payload["check_in_id"], []).append((payload["monitor_slug"], payload["status"]))
    found = [
        {
            **{name: value for name, value in payload.items() if name not in OF_A_RUN},
            "duration": payload["duration"] is not None,
            "has a trace": payload["contexts"]["trace"].keys() >= {"trace_id", "span_id"},
        }
        for payload in sent
    ]
    return sorted(found, key=str), sorted(times.values())


def test_check_ins_are_those_of_plain_sentry_sdk():
    with ThreadPoolExecutor() as both:
        plain, slotel = both.map(check_ins, ("plain", "slotel"))
    assert {each["monitor_slug"] for each in plain[0]} == {
        "nightly", "hourly", "daily", "by hand", "by hand, fails", "a block",
    }  # fmt: skip
    repeated = [("daily", status) for status in ("in_progress", "error", "error")]
    assert repeated in plain[1]
    assert slotel == plain
