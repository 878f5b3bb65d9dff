"""The end of a process: an unhandled SIGTERM, children that end by os._exit. Real processes under real auto-instrumentation."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, DEADLINE, LAUNCHER, busy, clean_environ

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere SIGTERM cannot be handled")
JOBS = {**{f"job {n}": 1 for n in range(20)}, "job fails": 1}
CHILD = {**{f"child {n}": 1 for n in range(20)}, "child fails": 1}
FLUSH_TIME = 2.0
"""The default of Sentry's `shutdown_timeout`."""
ENDING_TIME = 8.0
"""That of the script `ending`: two of it are longer than a busy machine needs for one."""


@pytest.fixture
def sentry():
    with SentrySink() as sink:
        yield sink


@contextmanager
def departing(sentry, way="sleep", *, before=(), launcher=True, **env):
    """The script, once it is ready."""
    command = [*before, *([str(LAUNCHER)] if launcher else []), sys.executable, "departing.py", way]
    variables = clean_environ(SENTRY_DSN=sentry.dsn(), OTEL_METRICS_EXPORTER="none", **env)
    process = subprocess.Popen(
        command, cwd=APPS, env=variables, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        said = process.stdout.readline()
        assert said, process.stderr.read()
        process.said = said.strip()
        yield process
    finally:
        process.kill()
        process.communicate()


def terminated(process):
    """Send SIGTERM; return the exit code and the seconds that it took."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(DEADLINE)
    return code, time.monotonic() - begun


def names(sentry):
    return Counter(event["transaction"] for event in sentry.payloads("transaction"))


def errors(sentry):
    return Counter(event["exception"]["values"][-1]["value"] for event in sentry.payloads("event"))


@pytest.mark.parametrize("way", ["sleep", "in_asyncio"])
def test_a_script_that_an_unhandled_sigterm_ends_loses_nothing_and_ends_by_the_signal(sentry, way):
    with departing(sentry, way) as process:
        assert terminated(process)[0] == -signal.SIGTERM
    assert names(sentry) - Counter({"in asyncio": 1}) == JOBS
    assert ("in asyncio" in names(sentry)) == (way == "in_asyncio")
    assert errors(sentry) == {"job": 1}


def test_what_ended_below_a_root_that_is_open_leaves_too(sentry):
    with departing(sentry, "open_root") as process:
        assert terminated(process)[0] == -signal.SIGTERM
    spans = [span["description"] for each in sentry.payloads("transaction") for span in each["spans"]]
    assert spans == ["ended child"]


@pytest.mark.parametrize("way", ["sleep", "terminated_child"])
def test_a_sentry_that_hangs_delays_the_end_by_the_flush_time_at_most(sentry, way):
    with departing(sentry, way) as process:
        sentry.set_fault("hang")
        if way == "sleep":
            code, seconds = terminated(process)
        else:
            told, _ = process.communicate("\n", timeout=DEADLINE)
            code, seconds = int(told.split()[0]), float(told.split()[1])
    assert code == -signal.SIGTERM
    assert seconds < FLUSH_TIME + 1.5 * busy()


@pytest.mark.parametrize("mode", ["transactions", "errors", "sdk"])
def test_an_exit_waits_for_a_dead_sentry_once_and_says_what_is_lost(sentry, mode):
    """The Sentry client closes, and the sinks flush: each has the flush time, and both together not more."""
    with departing(sentry, "ending", SLOTEL_SENTRY_MODE=mode) as process:
        assert sentry.wait_for(lambda sentry: sentry.events)
        sentry.set_fault("hang")
        begun = time.monotonic()
        _, said = process.communicate("\n", timeout=DEADLINE)
        seconds = time.monotonic() - begun
    assert process.returncode == 0
    assert seconds < 1.6 * ENDING_TIME + busy() - 1
    assert "Sentry is attempting to send 1 pending events" in said, "as plain sentry-sdk says it"
    assert re.search(r"lost \d+ errors: the process ended before they were sent \[exit\]", said), said


def test_a_second_sigterm_ends_it_at_once(sentry):
    sentry.set_fault("hang")
    with departing(sentry) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None
        code, seconds = terminated(process)
    assert code == -signal.SIGTERM
    assert seconds < 1.0 * busy()


def test_a_main_thread_that_holds_locks_delays_the_end_by_the_flush_time_at_most(sentry):
    with departing(sentry, "holding_locks") as process:
        code, seconds = terminated(process)
    assert code == -signal.SIGTERM
    assert seconds < FLUSH_TIME + 1.5 * busy()


def test_the_apps_own_handler_is_the_only_one(sentry):
    with departing(sentry, "own_handler") as process:
        assert terminated(process)[0] == 7
    assert names(sentry) == JOBS
    assert errors(sentry) == {"job": 1}


@pytest.mark.parametrize(
    ("way", "env"), [("disposition", {"SLOTEL_HANDLE_SIGTERM": "false"}), ("in_a_thread", {})]
)
def test_the_signal_is_left_alone_when_it_shall_be_and_off_the_main_thread(sentry, way, env):
    with departing(sentry, way, launcher=way == "disposition", **env) as process:
        assert process.said == "True"


def test_a_child_that_is_terminated_loses_nothing_and_ends_by_the_signal(sentry):
    with departing(sentry, "terminated_child") as process:
        told, _ = process.communicate("\n", timeout=DEADLINE)
    assert told.split()[0] == str(-signal.SIGTERM)
    assert names(sentry) == {**JOBS, **CHILD}
    assert errors(sentry) == {"job": 1, "child": 1}


def test_a_child_of_multiprocessing_that_ends_loses_nothing(sentry):
    with departing(sentry, "ending_child") as process:
        assert process.said == "0"
        process.wait(DEADLINE)
    assert names(sentry) == {**JOBS, **CHILD}
    assert errors(sentry) == {"job": 1, "child": 1}


def test_a_containers_first_process_sends_what_it_holds_and_goes_on_as_the_kernel_has_it(sentry):
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no namespace of processes can be made here")
    with departing(sentry, "first_process", before=unshare) as process:
        assert process.said == "1"
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        first = int(Path(children).read_text())
        os.kill(first, signal.SIGTERM)
        assert sentry.wait_for(lambda sink: sink.transactions == len(JOBS))
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "still here\n"
        os.kill(first, signal.SIGTERM)
        assert sentry.wait_for(lambda sink: names(sink) == {**JOBS, "still here": 1})
        assert errors(sentry) == {"job": 1}
