"""A process that has no descriptor left: what it reports meanwhile arrives, whole as soon as files can be read again."""

import sys

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, Launched, wait_until

SERVICE = """
import os, resource, time
from flask_app import app

client = app.test_client()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for _ in range(20):
    client.get("/error")
time.sleep(1.5)  # the sender has taken them
for descriptor in held:
    os.close(descriptor)
print("freed", flush=True)
client.get("/error")
time.sleep(3600)
"""


def errors(sentry):
    return [event for event in sentry.payloads("event") if "exception" in event]


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_NOFILE")
def test_no_error_is_lost_for_want_of_a_descriptor_and_later_ones_have_packages_and_source_lines():
    with SentrySink() as sentry:
        env = {"SENTRY_DSN": sentry.dsn(7), "SENTRY_TRACES_SAMPLE_RATE": "1", "PYTHONPATH": str(APPS)}
        with Launched(sys.executable, "-c", SERVICE, env=env) as service:
            wait_until(lambda: "freed" in service.log, "files can be opened again")
            wait_until(lambda: sentry.transactions == 21, "every transaction")
            wait_until(lambda: len(errors(sentry)) == 21, "every error")
            # that many errors are a breach of the budget, which is an event as soon as the ticker sees it
            wait_until(
                lambda: service.sample("sentry_errors_total") == len(sentry.payloads("event")),
                "every event is counted",
            )
            assert "build_error" not in service.scrape()
    last = max(errors(sentry), key=lambda event: event["timestamp"])
    assert "flask" in last["modules"]
    assert (
        last["exception"]["values"][-1]["stacktrace"]["frames"][-1]["context_line"]
        .strip()
        .startswith("raise")
    )
