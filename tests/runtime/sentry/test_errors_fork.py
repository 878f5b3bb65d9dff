"""Errors that wait at a fork are sent by the process that captured them, once."""

import subprocess
import sys
from collections import Counter

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, clean_environ


def test_an_error_that_waits_at_a_fork_is_sent_once():
    with SentrySink() as sink:
        sink.set_fault("hang")
        env = clean_environ(SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none")
        process = subprocess.Popen(
            [sys.executable, "forking.py"], env=env, cwd=APPS / "errors", text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout.readline() == "forked\n"
        sink.set_fault("none")
        process.communicate(timeout=60)
        said = Counter(each["exception"]["values"][-1]["value"] for each in sink.payloads("event"))
        assert set(said.values()) == {1}
        assert set(said) >= {
            "child",
            "parent",
            "before 2",
            "before 3",
            "before 4",
        }  # what hung when it was cut is lost


def test_a_fork_while_the_senders_thread_starts_its_first_connection_hangs_no_child():
    with SentrySink() as sink:
        env = clean_environ(SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none")
        command = [sys.executable, "forking_importing.py"]
        subprocess.run(command, env=env, cwd=APPS / "errors", timeout=170, check=True, capture_output=True)
        said = Counter(each["exception"]["values"][-1]["value"] for each in sink.payloads("event"))
    assert said == {"parent": 1, "child": 1}
