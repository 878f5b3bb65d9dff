"""The small parts of the Sentry path: limits, proxies, bytes, own requests; and mode `otlp`."""

import doctest
import importlib
import json
import os
import subprocess
import sys
import zlib

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from slotel.cli.sink.server import SentrySink
from slotel.config.service import SentrySettings
from slotel.runtime.process import gil_yielder
from slotel.runtime.sentry.modes.select import sentry_sink
from slotel.runtime.sentry.own_requests import own_span_test
from slotel.runtime.sentry.transport import encode
from slotel.runtime.sentry.transport.endpoint import named_proxy
from slotel.runtime.sentry.transport.rate_limits import RateLimits
from support.sentry_tracing import RESOURCE, Losses, client, enforcer, provider

OPTIONS = {"http_proxy": None, "https_proxy": None}


@pytest.mark.parametrize(
    "name",
    [
        "transactions.mapping",
        "transactions.payload",
        "transport.rate_limits",
        "modes.otlp",
        "modes.sdk",
        "transport.endpoint",
    ],
)
def test_the_examples_in_the_docstrings_are_true(name):
    module = importlib.import_module(f"slotel.runtime.sentry.{name}")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("status", "limits", "retry_after", "pause"),
    [
        (200, None, None, 0),
        (429, None, "7", 7),
        (429, None, None, 60),
        (429, None, "nonsense", 60),
        (429, None, "Thu, 01 Jan 1970 00:00:30 GMT", 30),
        (429, None, "Wed, 31 Dec 1969 23:55:00 GMT", 60),  # a clock is wrong: the server has said to wait
        (429, "5:transaction:key", "7", 5),
        (200, "5:transaction:key", None, 5),
        (200, "5::organization", None, 5),
        (200, "5:error;default:key, 9:span;transaction:key", None, 9),
        (200, "5:error:key", None, 0),
        (200, "nonsense", None, 0),
        (200, "-5:transaction:key", None, 0),
        (200, "inf:transaction:key", None, 0),
        (200, "999999999:transaction:key", None, 3600),
        (503, None, "7", 0),
    ],
)
def test_a_limit_holds_for_its_category_and_its_time(status, limits, retry_after, pause):
    limited = RateLimits()
    limited.clock = limited.wall = lambda: 0.0
    limited.learn(status, limits, retry_after)
    assert limited.pause("transaction") == pause


def test_each_category_has_its_own_limit_and_one_without_a_category_holds_for_all():
    limited = RateLimits()
    limited.clock = lambda: 0.0
    limited.learn(200, "5:error;session:key", None)
    assert [limited.pause(each) for each in ("error", "session", "transaction")] == [5.0, 5.0, 0.0]
    limited.learn(429, None, "2")
    assert [limited.pause(each) for each in ("error", "session", "transaction")] == [5.0, 5.0, 2.0]


def test_a_later_shorter_limit_does_not_end_an_earlier_one():
    now = [0.0]
    limited = RateLimits()
    limited.clock = lambda: now[0]
    limited.learn(429, None, "30")
    limited.learn(200, "1:transaction:key", None)
    now[0] = 29.0
    assert limited.pause("transaction") == 1.0
    now[0] = 31.0
    assert limited.pause("transaction") == 0.0


def test_the_proxy_is_the_options_else_the_environments_and_an_empty_option_means_none(monkeypatch):
    for name in (
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    assert named_proxy("https", "h", OPTIONS) is None
    monkeypatch.setenv("https_proxy", "http://u:p%40@proxy:3128")
    assert named_proxy("https", "h", OPTIONS) == "http://u:p%40@proxy:3128"
    assert named_proxy("http", "h", OPTIONS) is None
    assert named_proxy("https", "h", {**OPTIONS, "https_proxy": ""}) is None
    assert named_proxy("https", "h", {**OPTIONS, "http_proxy": "other:1"}) == "http://other:1"
    monkeypatch.setenv("no_proxy", "h")
    assert named_proxy("https", "h", OPTIONS) is None
    monkeypatch.setenv("no_proxy", "h:9000")
    assert named_proxy("https", "h", OPTIONS, 9000) is None
    assert named_proxy("https", "h", OPTIONS, 9001) is not None


@pytest.mark.parametrize("dumps", [encode._plain_dumps, encode._dumps()])
def test_both_encoders_write_the_same_json_and_know_what_sentry_annotates(dumps):
    class Annotated:
        metadata, value = {"rem": []}, "[Filtered]"

    value = {"a": [1, 2.5, True, None, "é"], "b": Annotated(), "c": {"d": (1, 2)}, "set": {1}}
    assert json.loads(dumps(value)) == {
        "a": [1, 2.5, True, None, "é"],
        "b": "[Filtered]",
        "c": {"d": [1, 2]},
        "set": [1],
    }


@pytest.mark.parametrize("compress", [encode._zlib_compress, encode._compress()])
def test_both_compressors_write_gzip(compress):
    assert zlib.decompress(compress(b"abc" * 1000), 31) == b"abc" * 1000


def test_a_circular_value_is_cut_and_harms_nothing():
    circular = {}
    circular["self"] = circular
    assert b"self" in encode.serialize({"extra": circular})


@pytest.mark.parametrize(
    ("attributes", "own"),
    [
        ({"url.full": "https://o1.example.org/api/1/envelope/"}, True),
        ({"http.url": "https://O1.example.org:443/api/1/envelope/"}, True),
        ({"http.request.method": "POST", "server.address": "o1.example.org", "server.port": 443}, True),
        ({"http.method": "POST", "net.peer.name": "o1.example.org"}, True),
        ({"http.method": "POST", "http.host": "o1.example.org:443"}, True),
        ({"url.full": "https://o1.example.org:8443/"}, False),
        ({"url.full": "https://example.org/?to=o1.example.org"}, False),
        ({"url.full": "https://[broken"}, False),
        ({"db.system": "pg", "server.address": "o1.example.org"}, False),
        ({}, False),
    ],
)
def test_a_request_to_sentry_itself_is_known_by_either_convention(attributes, own):
    span = provider().get_tracer("t").start_span("POST", kind=SpanKind.CLIENT, attributes=attributes)
    is_own = own_span_test("https://key@o1.example.org/1")
    assert is_own(span, attributes) is own
    server = provider().get_tracer("t").start_span("POST", kind=SpanKind.SERVER, attributes=attributes)
    assert not is_own(server, attributes)


def test_mode_otlp_ships_sampled_spans_with_release_and_environment_in_the_resource():
    trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    with SentrySink() as sentry:
        made = client(sentry.dsn(7), release="r1", environment="e1")
        settings = SentrySettings(dsn=sentry.dsn(7), mode="otlp")
        sink = sentry_sink(settings, client=made, enforcer=enforcer(), resource=RESOURCE, dropped=Losses())
        with provider(sink, sampler=ALWAYS_OFF).get_tracer("t").start_as_current_span("unsampled"):
            pass
        with provider(sink).get_tracer("t").start_as_current_span("job", attributes={"password": "x"}):
            pass
        assert sink.flush(60)
        sink.shutdown()
        made.close(timeout=0)
    (request,) = sentry.others
    assert request.target == "/api/7/integration/otlp/v1/traces/"
    assert request.headers["x-sentry-auth"].startswith("sentry sentry_key=")
    body = zlib.decompress(request.body, 47) if request.headers.get("content-encoding") else request.body
    (spans,) = trace_service.ExportTraceServiceRequest.FromString(body).resource_spans
    resource = {each.key: each.value.string_value for each in spans.resource.attributes}
    assert resource == {
        "service.name": "checkout", "service.version": "r1", "sentry.release": "r1",
        "sentry.environment": "e1", "deployment.environment.name": "e1",
    }  # fmt: skip
    (span,) = spans.scope_spans[0].spans
    assert span.name == "job"
    assert [(each.key, each.value.string_value) for each in span.attributes] == [("password", "[Filtered]")]


def test_mode_otlp_without_its_exporter_falls_back_with_a_word(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with SentrySink() as sentry:
        made = client(sentry.dsn())
        settings = SentrySettings(dsn=sentry.dsn(), mode="otlp")
        sink = sentry_sink(settings, client=made, enforcer=enforcer(), resource=RESOURCE, dropped=Losses())
        assert "pip install 'slotel[otlp]'" in caplog.text
        with provider(sink).get_tracer("t").start_as_current_span("job"):
            pass
        assert sink.flush(60)
        sink.shutdown()
        made.close(timeout=0)
    assert sentry.transactions == 1


def test_import_starts_no_thread_and_loads_no_optional_package():
    code = (
        "import sys, threading; import slotel.runtime.sentry.modes.select;"
        "assert threading.active_count() == 1;"
        "print([name for name in ('orjson', 'isal', 'opentelemetry.exporter', 'flask') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


class Clock:
    """The module `time`, as far as turns look at it."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0
        self.slept: list[float] = []

    def perf_counter(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.cpu

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_worker_rests_after_a_millisecond_of_work_but_not_where_the_main_thread_never_does(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(gil_yielder, "time", clock)
    worker = gil_yielder.GilYielder()

    def drain(traces: int, work: float, waits: float) -> int:
        clock.slept.clear()
        worker.begin()
        for _ in range(traces):
            clock.now += work + waits
            clock.cpu += work
            worker.yield_gil()
        worker.judge(traces)
        return len(clock.slept)

    assert (drain(20, work=0.0003, waits=0.0), worker.contended) == (5, False)
    assert (drain(20, work=0.002, waits=0.0), worker.contended) == (20, False)
    assert drain(20, work=0.0003, waits=0.005) == 20
    assert worker.contended, "each step waited for the lock"
    assert (drain(20, work=0.0003, waits=0.0003), worker.contended) == (0, True)
    assert (drain(2, work=0.0003, waits=0.0), worker.contended) == (0, True), "two traces tell nothing"
    assert (drain(20, work=0.0003, waits=0.0), worker.contended) == (0, False)
