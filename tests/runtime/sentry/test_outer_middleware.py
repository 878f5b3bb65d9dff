"""What code around a framework says of a request before the framework's span begins is that request's: beside plain sentry-sdk."""

import json
import subprocess
import sys

import pytest
import sentry_sdk

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, LAUNCHER, clean_environ

pytestmark = pytest.mark.skipif(
    not hasattr(sentry_sdk, "start_transaction"), reason="sentry-sdk 3 has no start_transaction"
)
REQUESTS = 5


def run(how, scene):
    with SentrySink() as sink:
        env = clean_environ(
            SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none", SENTRY_TRACES_SAMPLE_RATE="1",
        )  # fmt: skip
        launcher = [] if how == "plain" else [str(LAUNCHER)]
        done = subprocess.run(
            [*launcher, sys.executable, "outer.py", how, scene],
            env=env, cwd=APPS / "errors", timeout=170, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        transactions = [each for each in sink.payloads("transaction") if "asked" in each["tags"]]
        return done.stdout, transactions, sink.payloads("event")


@pytest.mark.parametrize("scene", ["flask", "django", "given"])
def test_it_is_on_the_requests_transaction_and_the_request_leaves_nothing_behind(scene):
    pytest.importorskip("flask" if scene == "flask" else "django")
    (_, theirs, _), (printed, ours, _) = run("plain", scene), run("slotel", scene)
    asked = [
        each for each in theirs if each["transaction"] != "/fails"
    ]  # a request later, on the same thread
    assert len(asked) == REQUESTS
    said = sorted((each["tags"]["before"], each["tags"]["asked"], each["user"]["id"]) for each in asked)
    assert (
        sorted((each["tags"]["before"], each["tags"]["asked"], each["user"]["id"]) for each in ours) == said
    )
    assert sorted(each["tags"]["tenant"] for each in ours) == sorted(before for before, _, _ in said)
    assert [[span["description"] for span in each["spans"]] for each in ours] == [["looks up"]] * REQUESTS
    assert not any("continued" in each["transaction"] for each in ours)
    assert json.loads(printed) == [0]


def test_an_event_processor_of_the_outer_scope_completes_an_error_beside_the_integration_that_the_app_names():
    pytest.importorskip("django")
    (_, _, (theirs,)), (_, _, (ours,)) = run("plain", "given"), run("slotel", "given")
    assert (theirs["request"]["cookies"], theirs["extra"]["noted"]) == ({"foo": "bar"}, True)
    assert ours["extra"]["noted"] is True
    assert ours["request"]["cookies"] == theirs["request"]["cookies"]
    assert ours["tags"]["before"] == theirs["tags"]["before"]
