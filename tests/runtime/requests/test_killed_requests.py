"""A request that runs for long is told to the other processes, which count it once its own is dead, and no other request is."""

import json
import sys
from http.client import HTTPException
from time import time_ns
from urllib.error import URLError

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, format_trace_id

from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.requests import in_progress
from slotel.runtime.requests.in_progress import LONG, InProgress, KilledRequests
from slotel.runtime.requests.local_roots import OpenSpans
from support.launch import Launched, wait_until

HTTP = {"http.request.method": "GET", "http.route": "/pay/{n}", "url.scheme": "http", "url.path": "/pay/4111"}
APP = """
import os, signal, time
from flask import Flask
app = Flask(__name__)
@app.get("/healthz")
def healthz(): return "ok"
@app.get("/ends/<float:seconds>")
def ends(seconds): time.sleep(seconds); return "ok"
@app.get("/killed/<float:seconds>")
def killed(seconds): time.sleep(seconds); os.kill(os.getpid(), signal.SIGKILL)
"""
CALLS = "traces_span_metrics_calls_total"
WORKERS = ("gunicorn", "--workers", "2", "--worker-class", "gthread", "--bind", "127.0.0.1:{port}", "app:app")


class Service:
    """A process's open spans, and the list that the others read."""

    def __init__(self):
        self.shared = []
        self.open_spans = OpenSpans()
        self.requests = KilledRequests(self.open_spans, InProgress(self._share, Redactor().data))
        self._tracer = TracerProvider().get_tracer("t")

    def _share(self, data):
        self.shared = json.loads(data)
        return True

    def begin(self, *, name="GET /pay/{n}", kind=SpanKind.SERVER, age=2 * LONG, **attributes):
        given = HTTP | {key.replace("_", "."): value for key, value in attributes.items()}
        span = self._tracer.start_span(name, None, kind, given, start_time=time_ns() - age)
        return span, self.open_spans.open(span)

    def listed(self):
        self.requests.note()
        return len(self.shared)


def test_a_request_is_listed_while_it_runs_and_with_nothing_secret():
    service = Service()
    span, _ = service.begin()
    assert service.listed() == 1
    kind, name, attributes, carrier, started = service.shared[0]
    assert (kind, name, started) == ("request", "GET /pay/{n}", span.start_time)
    assert attributes == {name: value for name, value in HTTP.items() if name != "url.path"}
    assert format_trace_id(span.context.trace_id) in carrier["traceparent"]
    service.open_spans.close(span.context.span_id)
    assert service.shared == []
    assert service.listed() == 0


def test_the_list_has_no_secret_of_a_spans_name():
    service = Service()
    service.begin(name="GET /reset?token=hunter2")
    assert service.listed() == 1
    assert service.shared[0][1] == "GET /reset?token=[Filtered]"


@pytest.mark.parametrize(
    "given", [{"age": 0}, {"kind": SpanKind.CONSUMER}, {"url_scheme": "wss"}], ids=["quick", "a job", "a websocket"]
)  # fmt: skip
def test_what_is_no_long_request_is_not_listed(given):
    service = Service()
    service.begin(**given)
    assert service.listed() == 0


def test_a_request_whose_answer_has_begun_and_a_parents_are_not_listed():
    service = Service()
    _, local_root = service.begin()
    local_root.served = type("Served", (), {"status": 200, "client_left": False, "socket_scheme": None})()
    assert service.listed() == 0
    service.begin()
    service.open_spans._after_fork()
    assert service.listed() == 0


def test_the_list_is_bounded(monkeypatch):
    monkeypatch.setattr(in_progress, "MOST", 3)
    service = Service()
    spans = [service.begin()[0] for _ in range(5)]
    assert service.listed() == 3
    for span in spans:
        service.open_spans.close(span.context.span_id)
    assert service.shared == []


def test_a_request_with_which_its_worker_is_killed_is_bad_and_one_that_ended_before_counts_once(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    with Launched(sys.executable, "-m", *WORKERS, cwd=tmp_path).wait_ready() as service:
        service.get("/ends/8.0")
        with pytest.raises((ConnectionError, URLError, HTTPException)):
            service.get("/killed/8.0")
        route = {"http_route": "/killed/<float:seconds>", "status_code": "STATUS_CODE_ERROR"}
        wait_until(lambda: service.sample(CALLS, **route) == 1, "it is counted")
        outcomes = {labels["slo_outcome"]: value for labels, value in service.samples("slo_events_total")}
        assert outcomes == {"good": 1, "bad": 1, "excluded": service.requests - 1}, (
            "the health route is no event"
        )
