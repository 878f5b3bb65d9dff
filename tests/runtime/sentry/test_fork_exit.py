"""Forks and exits: nothing twice, nothing lost. Real os.fork, real processes, a real gunicorn."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.trace import use_span

from slotel.cli.sink.server import SentrySink
from support.sentry_tracing import provider, shipping

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    # forking with threads is the point here; 3.12 warns of it
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]
TESTS = Path(__file__).parents[2]


@pytest.fixture
def sentry():
    with SentrySink() as sink:
        yield sink


def names(sentry):
    return Counter(event["transaction"] for event in sentry.payloads("transaction"))


def in_child(work):
    """Run in a forked child; fail here if it fails there."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_what_waits_at_a_fork_is_sent_once_by_the_parent(sentry):
    with shipping(sentry, worker={"interval": 0.5}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        for _ in range(10):
            with tracer.start_as_current_span("parent"):
                pass

        def child():
            with tracer.start_as_current_span("child"):
                pass
            assert sink.flush(60)

        in_child(child)
        assert sink.flush(60)
    assert names(sentry) == {"parent": 10, "child": 1}
    assert losses.counts == {}


def test_envelopes_queued_while_the_server_is_down_are_sent_once(sentry):
    with shipping(sentry, sender={"first_wait": 60.0}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        sentry.set_fault("refuse")
        for _ in range(10):
            with tracer.start_as_current_span("parent"):
                pass
        sink.flush(0.3)
        sentry.set_fault("none")

        def child():
            with tracer.start_as_current_span("child"):
                pass
            assert sink.flush(60)

        in_child(child)
        assert sink.flush(60)
    assert names(sentry) == {"parent": 10, "child": 1}
    assert losses.counts == {}


def test_parent_and_children_go_on_over_connections_of_their_own(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("before"):
            pass
        assert sink.flush(60)

        def child():
            for _ in range(20):
                with tracer.start_as_current_span("child"):
                    pass
            assert sentry.port
            sink.shutdown()

        for _ in range(3):
            in_child(child)
            with tracer.start_as_current_span("after"):
                pass
            assert sink.flush(60)
    assert names(sentry) == {"before": 1, "child": 60, "after": 3}
    assert sentry.stats()["connections"] == 4
    assert losses.counts == {}


def test_a_fork_within_a_request_ships_the_request_once_and_the_childs_own_spans_in_its_trace(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("request") as root:
            tracer.start_span("before").end()

            def child():
                with use_span(root, end_on_exit=True):
                    tracer.start_span("in the child").end()
                sink.shutdown()

            in_child(child)
            tracer.start_span("after").end()
        assert sink.flush(60)
    events = {event["transaction"]: event for event in sentry.payloads("transaction")}
    assert names(sentry) == {"request": 1, "in the child": 1}
    assert sorted(span["description"] for span in events["request"]["spans"]) == ["after", "before"]
    alone = events["in the child"]["contexts"]["trace"]
    assert alone["parent_span_id"] == events["request"]["contexts"]["trace"]["span_id"]
    assert losses.counts == {}


SCRIPT = """
import os, signal, sys, time
sys.path.insert(0, {tests!r})
import sentry_sdk
from support.sentry_tracing import RESOURCE, Losses, Through, client, enforcer
from opentelemetry.sdk.trace import TracerProvider
from slotel.config.service import SentrySettings
from slotel.runtime.sentry.modes.select import sentry_sink

made = client({dsn!r}, shutdown_timeout=60)
sink = sentry_sink(
    SentrySettings(dsn={dsn!r}), client=made, enforcer=enforcer(), resource=RESOURCE, dropped=Losses()
)
provider = TracerProvider(resource=RESOURCE)  # its atexit hook is what ends a service
provider.add_span_processor(Through(sink))
tracer = provider.get_tracer("t")
"""


def run(sentry, body, **options):
    script = SCRIPT.format(tests=str(TESTS), dsn=sentry.dsn()) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", script], timeout=170, capture_output=True, text=True, **options
    )


def test_a_short_script_ends_at_once_and_loses_nothing(sentry):
    done = run(
        sentry,
        """
        for n in range(200):
            with tracer.start_as_current_span(f"job {n}"):
                pass
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(names(sentry)) == sentry.transactions == 200


def test_a_script_that_a_handled_sigterm_ends_loses_nothing(sentry):
    done = run(
        sentry,
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        for n in range(50):
            with tracer.start_as_current_span(f"job {n}"):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(names(sentry)) == sentry.transactions == 50


APP = """
def app(environ, start_response):
    with tracer.start_as_current_span(environ["PATH_INFO"]):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
"""


@pytest.mark.parametrize("preload", [False, True])
def test_gunicorn_recycles_its_workers_and_ends_and_loses_no_transaction(sentry, tmp_path, preload):
    script = SCRIPT.format(tests=str(TESTS), dsn=sentry.dsn()) + APP
    (tmp_path / "recycled.py").write_text(script)
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "recycled:app",
        "-w",
        "2",
        "--max-requests",
        "9",
        "-b",
        "127.0.0.1:0",
    ]
    server = subprocess.Popen(
        command + (["--preload"] if preload else []),
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    try:
        lines = []
        while "Listening at" not in (line := server.stderr.readline()):
            lines.append(line)
            assert line, "".join(lines)
        url = line.split("Listening at: ")[1].split()[0]
        requests = pytest.importorskip("requests")
        served = 0
        for number in range(40):
            for _ in range(50):
                try:
                    served += requests.get(f"{url}/{number}", timeout=60).ok
                    break
                except requests.ConnectionError:
                    time.sleep(0.05)  # a worker is just being recycled
        assert served == 40
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    finally:
        server.kill()
        server.wait()
    # a request whose connection was cut at recycle may have been asked for, and traced, again
    assert set(names(sentry)) == {f"/{n}" for n in range(40)}
    ids = [event["event_id"] for event in sentry.payloads("transaction")]
    assert len(set(ids)) == len(ids)
