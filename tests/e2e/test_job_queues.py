"""Jobs of libraries that nothing instruments, over a real Redis: each is counted, and reported as plain sentry-sdk reports it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from slotel.cli.sink.server import SentrySink
from support.kept import kept
from support.launch import clean_environ, wait_until
from support.ports import free_port
from support.requests_cases import FOLDER
from support.requests_matrix import APPS_BIN, apps_installed

pytestmark = pytest.mark.skipif(
    os.environ.get("REQUIRE_REAL") != "1"
    and not ((APPS_BIN / "rq").exists() and shutil.which("redis-server")),
    reason="needs redis-server and the applications: make apps",
)
CAME = {
    "rq": ({"good": 1, "bad": 4, "excluded": 3}, 2),
    "dramatiq": ({"good": 2, "bad": 2, "excluded": 1}, 3),
    "huey": ({"good": 1, "bad": 2, "excluded": 2}, 3),
    "arq": ({"good": 1, "bad": 3, "excluded": 1}, 2),
    "apscheduler": ({"good": 2, "bad": 5, "excluded": 0}, 5),
    "procrastinate": ({"good": 1, "bad": 2, "excluded": 1}, 2),
    "saq": ({"good": 1, "bad": 3, "excluded": 1}, 4),
    "django_tasks": ({"good": 1, "bad": 2, "excluded": 0}, 0 if sys.version_info < (3, 12) else 2),
}
"""What was counted, and how many events came: what is run again is excluded, what is expected is good, the last failure is bad. Django has
tasks of its own, which log their failures, from 6 on, which needs Python 3.12."""


@pytest.fixture
def redis(tmp_path):
    """Start servers; each call returns the port of one."""
    with contextlib.ExitStack() as servers:

        def start(name):
            port = free_port()
            (tmp_path / name).mkdir()
            command = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "")
            server = subprocess.Popen(command, cwd=tmp_path / name, stdout=subprocess.DEVNULL)
            servers.callback(server.wait)
            servers.callback(server.terminate)
            ping = ("redis-cli", "-p", str(port), "ping")
            wait_until(
                lambda: b"PONG" in subprocess.run(ping, capture_output=True, check=False).stdout,
                "Redis answers",
            )
            return port

        yield start


OF_THE_RUNNER = {"BrokenProcessPool"}
"""Failures that are logged where no job runs."""


def run(library, redis, **env):
    """Return what was counted, the events, and the transactions: the id of the trace, and the name."""
    launcher = () if "PLAIN" in env else (str(APPS_BIN / "opentelemetry-instrument"),)
    with SentrySink() as sink:
        dsn = {"PLAIN_DSN" if "PLAIN" in env else "SENTRY_DSN": sink.dsn("1")}
        done = subprocess.run(
            [*launcher, str(APPS_BIN / "python"), "queue_jobs.py", library],
            cwd=FOLDER, capture_output=True, text=True, timeout=300, check=False,
            env=clean_environ(
                OTEL_SERVICE_NAME="jobs", OTEL_METRICS_EXPORTER="prometheus", REDIS_PORT=str(redis),
                OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()), SENTRY_TRACES_SAMPLE_RATE="1", **dsn, **env,
            ),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        traces = {
            (item["contexts"]["trace"]["trace_id"], item["transaction"])
            for item in sink.payloads("transaction")
        }
        return json.loads(done.stdout.splitlines()[-1]), list(sink.payloads("event")), traces


def told(event):
    """What an event says of its job."""
    own = {"dramatiq"} & event["contexts"].keys()
    extra = {key for key in event.get("extra", {}) if key.endswith("-job")}
    tags = {key for key in event.get("tags", {}) if key.startswith(("huey", "arq", "colour"))}
    return event["exception"]["values"][-1]["type"], *sorted(own | extra | tags)


@pytest.mark.parametrize(
    "library",
    [
        *("rq", "arq", "apscheduler"),
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in CAME
            if name not in {"rq", "arq", "apscheduler"}
        ),
    ],
)
def test_each_job_is_counted_and_its_event_is_plain_sentry_sdks_in_the_trace_of_the_job(redis, library):
    with ThreadPoolExecutor(2) as both:
        follows = f"{__name__} {library}".encode() + apps_installed()
        alone = both.submit(kept, follows, lambda: run(library, redis("alone"), PLAIN="1"))
        counted, events, traces = run(library, redis("slotel"))
        _, plain, _ = alone.result()
    assert (counted, len(events)) == CAME[library]
    # Dramatiq logs what its middleware reports, and plain sentry-sdk notices a double within one thread only
    assert set(map(told, events)) == set(map(told, plain))
    for event in events:
        if event["exception"]["values"][-1]["type"] not in OF_THE_RUNNER:
            assert (event["contexts"]["trace"]["trace_id"], event["transaction"]) in traces


@pytest.mark.parametrize(
    ("library", "came"),
    [
        ("huey_processes", {"good": 1, "bad": 2, "excluded": 0}),
        pytest.param("django_q", {"good": 1, "bad": 3, "excluded": 0}, marks=pytest.mark.long),
    ],
)
def test_a_job_that_its_process_was_killed_with_is_bad_though_its_library_does_not_tell(redis, library, came):
    counted, _, traces = run(library, redis("slotel"))
    assert counted == came
    assert any(name.endswith("dies") for _, name in traces)
