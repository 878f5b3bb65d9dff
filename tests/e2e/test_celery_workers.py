"""Jobs whose process ends with them, and jobs of which no signal tells in time: each is counted, its errors are plain sentry-sdk's."""

import contextlib
import os
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from slotel.cli.sink.server import SentrySink
from support.kept import kept, sources
from support.launch import APPS, Launched, clean_environ, wait_until
from support.redis_server import redis_server
from support.requests_matrix import APPS_BIN, apps_installed

pytestmark = pytest.mark.skipif(
    os.environ.get("REQUIRE_REAL") != "1"
    and not ((APPS_BIN / "celery").exists() and shutil.which("redis-server")),
    reason="needs redis-server and the applications: make apps",
)
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
"""Of what has sent the jobs."""
LOST = ("too_long", "killed", "ends_process", "exits", "breaks")
"""Failures that the worker's main process logs."""


@pytest.fixture(scope="module")
def broker():
    with redis_server() as port:
        yield f"redis://127.0.0.1:{port}"


def told(event):
    kinds = [each["type"] for each in event.get("exception", {"values": []})["values"]]
    return event.get("logger"), event.get("logentry", {}).get("message"), *kinds


def run(broker, pool, tasks, is_over, *, plain=False):
    """Return what was counted by name and outcome, and the events."""
    with SentrySink() as sentry:
        env = {"PLAIN_DSN" if plain else "SENTRY_DSN": sentry.dsn(), "BROKER": broker}
        launcher = () if plain else (str(APPS_BIN / "opentelemetry-instrument"),)
        command = (str(APPS_BIN / "celery"), "-A", "celery_ends", "worker", *pool, "-l", "error")
        with Launched(*launcher, *command, env=env, launcher=False) as worker:
            sent = subprocess.run(
                [str(APPS_BIN / "python"), "celery_ends.py", *tasks],
                env=clean_environ(BROKER=broker), cwd=APPS, timeout=170, check=False,
            )  # fmt: skip
            assert sent.returncode == 0
            wait_until(lambda: is_over(worker), f"all jobs are over; it said:\n{worker.log}")
            counted = None if plain else outcomes(worker)
            worker.stop()
        events = [event for event in sentry.payloads("event") if event.get("logger") != "slotel.budget"]
        return counted, Counter(map(told, events)), list(sentry.payloads("transaction"))


def without_exits(events):
    """Leave out which of its processes multiprocessing says to have ended: one may be gone before it looks."""
    return {told: count for told, count in events.items() if told[0] != "multiprocessing"}


def outcomes(worker):
    """Return how many events each outcome has; none before /metrics is answered."""
    with contextlib.suppress(OSError):
        return {
            labels["slo_outcome"]: int(value)
            for labels, value in worker.samples("slo_events_total")
            if labels["slo_name"] == "availability" and value
        }
    return {}


def test_a_job_whose_process_is_gone_is_bad_once_and_its_errors_are_plain_sentry_sdks(broker):
    """Killed, over the hard time limit, ended by the job itself; and a job whose own on_failure raises."""
    tasks, pool = (*LOST, "succeeds"), ("-P", "prefork", "-c", "1")

    def is_over(worker):
        return worker.log.count("Task handler raised error") >= len(LOST)

    def is_counted(worker):
        counted = outcomes(worker)
        return is_over(worker) and counted.get("good", 0) + counted.get("bad", 0) >= len(tasks)

    with ThreadPoolExecutor(1) as beside:
        follows = f"{__name__} {tasks} {pool}".encode() + sources(APPS) + apps_installed()
        alone = beside.submit(kept, follows, lambda: run(f"{broker}/1", pool, tasks, is_over, plain=True))
        counted, events, transactions = run(f"{broker}/0", pool, tasks, is_counted)
        _, plain, _ = alone.result()
    assert (counted["good"], counted["bad"]) == (1, len(LOST))
    assert without_exits(events) == without_exits(plain)
    assert {each["contexts"]["trace"]["trace_id"] for each in transactions} == {TRACE_ID}


def test_a_job_that_is_revoked_and_terminated_is_excluded_once_whatever_the_signal(broker):
    counted, events, _ = run(
        f"{broker}/0",
        ("-P", "prefork", "-c", "1"),
        ("terminated", "terminated_at_once", "succeeds"),
        lambda worker: sum(outcomes(worker).values()) >= 3,
    )
    assert counted == {"good": 1, "excluded": 2}
    assert not without_exits(events)


def test_a_retry_that_begins_before_the_run_before_has_ended_is_counted_too(broker):
    """Both have one id, by which the instrumentation keeps the span of a run."""
    counted, events, _ = run(
        f"{broker}/0",
        ("-P", "threads", "-c", "3"),
        ("retried",),
        lambda worker: sum(outcomes(worker).values()) >= 3,
    )
    assert counted == {"bad": 1, "excluded": 2}
    assert events == {(None, None, "KeyError"): 1}
