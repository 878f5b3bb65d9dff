"""Each name of another project is taken away in turn: requests are counted exactly, no secret leaves, the app serves, and it is said.

`support/taken_away.py` is the service. The names are those of `slotel.runtime.upstream`: a new probe is tested here by being there.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from slotel.runtime.upstream.jobs.libraries import RUNNERS
from slotel.runtime.upstream.stdlib import options_of
from support import taken_away

pytestmark = pytest.mark.process

PROGRAM = Path(taken_away.__file__)
PROBES = {str(probe): probe for probe in taken_away.import_probes()}
COVERED = {
    "argparse.ArgumentParser._option_string_actions": "see below",
    "gunicorn.workers.base_async.AsyncWorker.load_wsgi": "as gunicorn.workers.gthread's; gevent patches its whole process",
    "eventlet.monkey_patch": "tests/runtime/upstream/test_greenlets.py has a double of it",
    "django.shortcuts.render": "the service renders no template; sentry/test_like_integrations.py does",
    "starlette.templating.Jinja2Templates.__init__": "as django.shortcuts.render",
    "rest_framework.views.APIView.initial": "the framework is not here; sentry-sdk's Django suite has it",
    "sentry_sdk.utils.transaction_from_function": "the app chooses no transaction_style; sentry/test_names.py does",
    "sentry_sdk.integrations.django.caching.patch_caching": "the app asks for no spans of caches; sentry/test_options.py",
    "sentry_sdk.tracing_utils.add_source": "no call of the service is slow; one of sentry/test_options.py is",
    "sentry_sdk.utils.is_module_patched": "sentry-sdk calls it itself, for each event; test_sentry_optional.py",
    "sentry_sdk.utils.get_gevent_hub": "the same",
    "sentry_sdk.integrations._installer_lock": "no integration imports its library; Pyramid's of sentry/test_names.py does",
    "sentry_sdk.integrations.anthropic.Span": "its library is not here",
    "sentry_sdk.integrations.strawberry.Span": "its library is not here",
    "sentry_sdk.integrations.litestar.ConnectionDataExtractor": "the framework is not here; sentry/test_malformed_bodies.py",
    "_socket.socket": "only a check of uncounted requests asks for it",
    "granian.asgi._callback_wrapper": "as uvicorn.config.Config.load",
    "granian.wsgi._callback_wrapper": "as waitress.server.BaseWSGIServer.__init__",
    "opentelemetry.instrumentation.confluent_kafka._end_current_consume_span": "test_kafka.py has a double of it",
    "opentelemetry.instrumentation.confluent_kafka.AutoInstrumentedConsumer._current_consume_span": "the same",
    "opentelemetry.instrumentation.confluent_kafka.AutoInstrumentedConsumer._current_context_token": "the same",
    "opentelemetry.instrumentation.tornado._record_on_finish_metrics": "of a metric; its instrumentation is not here",
    "opentelemetry.instrumentation.tornado._finish_span": "its instrumentation is not here; e2e/test_requests_matrix.py",
    "opentelemetry.instrumentation.tornado._HANDLER_CONTEXT_KEY": "the same",
    "tornado.web.RequestHandler._handle_request_exception": "the same",
    "tornado.web.RequestHandler._finished": "the same",
    "opentelemetry.instrumentation.tornado.patch_handler_class": "its instrumentation is not here",
    "opentelemetry.instrumentation.tornado.route_from_rule": "the same",
    "opentelemetry.instrumentation.falcon._TraceMiddleware.process_response": "its instrumentation is not here",
    "opentelemetry.instrumentation.falcon._ENVIRON_SPAN_KEY": "its instrumentation is not here",
    **dict.fromkeys(
        (f"asyncpg.cursor.CursorIterator.{name}" for name in ("__anext__", "_buffer", "_exhausted")),
        "its library is not here; sentry/test_stores.py",
    ),
    "bottle.Bottle.__call__": "as flask.app.Flask.__call__",
    "pyramid.router.Router.__call__": "the same",
    "cheroot.wsgi.Server.__init__": "as waitress.server.BaseWSGIServer.__init__",
    "eventlet.wsgi.Server.__init__": "as waitress.server.BaseWSGIServer.__init__",
    "tornado.wsgi.WSGIContainer.__init__": "as waitress.server.BaseWSGIServer.__init__",
    "twisted.web.wsgi.WSGIResource.__init__": "as waitress.server.BaseWSGIServer.__init__",
    "aiohttp.web_ws.WebSocketResponse.receive": "of a socket; `make requests` asks aiohttp's",
    "opentelemetry.sdk.trace.ReadableSpan._context": "nothing is around the frameworks; sentry/test_outer_middleware.py",
    "daphne.server.Server.__init__": "as uvicorn.config.Config.load",
    "hypercorn.app_wrappers.ASGIWrapper.__init__": "as uvicorn.config.Config.load",
    "hypercorn.app_wrappers.WSGIWrapper.__init__": "as waitress.server.BaseWSGIServer.__init__",
}
COVERED |= {
    str(
        probe
    ): f"of jobs; e2e/test_{'celery_workers' if runner.library == 'celery' else 'job_queues'}.py runs them"
    for runner in RUNNERS
    for probe in runner.probes.values()
}
COVERED |= dict.fromkeys(
    (
        *(
            f"opentelemetry.instrumentation.celery.utils.{name}_context"
            for name in ("attach", "retrieve", "detach")
        ),
    ),
    "of jobs; e2e/test_celery_workers.py runs them",
)
COVERED |= {
    **dict.fromkeys(
        ("bottle.Router.match", "falcon.app.App._get_responder", "quart.ctx._BaseRequestWebsocketContext.match_request",
         "blacksheep.server.routing.Router.get_match_by_method_and_path", "sanic.router.Router.get"),
        "of routes; `make requests` and e2e/test_stock_services.py ask those frameworks",
    ),
    **dict.fromkeys(
        ("grpc.server", "grpc.aio.server", "opentelemetry.instrumentation.grpc._server.OpenTelemetryServerInterceptor.intercept_service",
         "opentelemetry.instrumentation.grpc._aio_server.OpenTelemetryAioServerInterceptor.intercept_service"),
        "of calls; e2e/test_requests_matrix.py asks gRPC",
    ),
    **dict.fromkeys(
        ("aiohttp.web_server.Server.__init__", "aiohttp.web_protocol.RequestHandler._handle_request",
         "aiohttp.web_protocol.RequestHandler.log_access", "aiohttp.web_response.StreamResponse.prepare",
         "aiohttp.web_response.StreamResponse.write_eof",
         "opentelemetry.instrumentation.aiohttp_server._excluded_urls",
         *(f"opentelemetry.instrumentation.aiohttp_server.duration_histogram_{age}" for age in ("new", "old"))),
        "aiohttp is not here; e2e/test_requests_matrix.py takes them away",
    ),
    "channels.routing.URLRouter.__init__": "of routes; the framework is not here",
    **dict.fromkeys(
        (f"opentelemetry.instrumentation.{kind}.OpenTelemetryMiddleware.__init__" for kind in ("asgi", "wsgi")),
        "the service puts no middleware around itself; test_middlewares.py does",
    ),
    "tornado.websocket.WebSocketHandler.on_ws_connection_close": "of a socket; `make requests` asks Tornado's",
}  # fmt: skip
"""Names of what this environment does not have, or no service needs."""
NAMES = [taken_away.NOTHING, *(name for name in PROBES if name not in COVERED)]


@pytest.fixture(scope="session")
def services():
    """Serves once without a name."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"

        def serve(name):
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield serve
        process.stdin.close()


@pytest.mark.parametrize("name", NAMES)
def test_without_the_name_requests_are_counted_exactly_no_secret_leaves_and_it_is_said(services, name):
    found = services(name)
    assert "error" not in found, found["error"]
    assert all(answers == [200, 200, 200, 500] for answers in found["answers"].values())
    counted, served = found["requests"]
    assert (counted, found["early"], found["child"]) == (served, 1, 1)
    assert found["leaked"] == []
    said = [line for line in found["lines"] if "SLO173" in line]
    if name == taken_away.NOTHING or PROBES[name].level is None:
        assert said == []
    else:
        assert any(PROBES[name].without in line for line in said)


def test_each_name_that_is_covered_elsewhere_is_one():
    assert COVERED.keys() <= PROBES.keys()


def test_without_argparses_name_the_shell_completes_no_options(monkeypatch, caplog):
    probe = PROBES["argparse.ArgumentParser._option_string_actions"]
    parser = argparse.ArgumentParser()
    assert options_of(parser) == ["-h", "--help"]
    monkeypatch.setattr(probe, "name", taken_away.GONE)
    assert options_of(parser) == []
    assert probe.without in caplog.text


APP = """
import os, sys
os.environ.update(OTEL_SERVICE_NAME="x", OTEL_METRICS_EXPORTER="none", SLOTEL_HANDLE_SIGTERM="false")
{before}
import opentelemetry.sdk.trace as sdk
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
provider, exporter = sdk.TracerProvider(), InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
early = trace.get_tracer("early")
{taken}
from slotel.runtime.bootstrap import start
runtime = start(os.environ)
for tracer in (early, trace.get_tracer("late")):
    tracer.start_span("x", attributes={{"password": "geheim"}}).end()
counted = [sum(cells[-1] if hasattr(cells, "__getitem__") else cells for cells in family.series.values())
           for family in runtime.store.snapshot() if family.name == "traces_span_metrics_calls"]
faults = [dict(family.series) for family in runtime.store.snapshot() if family.name == "slotel_stage_errors" and family.series]
exported = [dict(span.attributes) for span in exporter.get_finished_spans()]
print("counted", counted, "exported", len(exported), "secret", "geheim" in str(exported), "kind", type(trace.get_tracer("t").start_span("y")).__name__, "faults", faults)
"""

NO_TUPLE = """
import dataclasses, opentelemetry.trace as api, opentelemetry.trace.span as span
@dataclasses.dataclass(frozen=True)
class SpanContext:
    trace_id: int
    span_id: int
    is_remote: bool = False
    trace_flags: object = span.TraceFlags(0)
    trace_state: object = dataclasses.field(default_factory=span.TraceState)
    @property
    def is_valid(self):
        return bool(self.trace_id and self.span_id)
for module in (api, span):
    module.SpanContext = SpanContext
    module.INVALID_SPAN._context = SpanContext(0, 0)
"""

CASES = {
    "nothing": ("", "", "LeanSpan", ""),
    "the layout of SpanContext": (NO_TUPLE, "", "_Span", "another layout"),
    "the code that own spans imitate": (
        "import slotel.runtime.upstream.otel.spans as room; room.TESTED = frozenset()",
        "",
        "_Span",
        "has changed in this release",
    ),
    "own spans, by hand": ("os.environ['SLOTEL_SPANS'] = 'sdk'", "", "_Span", "SLOTEL_SPANS=sdk"),
    "the GIL": ("sys._is_gil_enabled = lambda: False", "", "_Span", "the GIL is disabled"),
}


@pytest.mark.parametrize("name", CASES)
def test_without_what_own_spans_stand_on_spans_are_the_sdks_and_counted_alike(name):
    before, taken, kind, line = CASES[name]
    done = subprocess.run(
        [sys.executable, "-c", APP.format(before=before, taken=taken)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"exported 2 secret False kind {kind} faults []" in done.stdout, done.stdout + done.stderr
    assert done.stdout.startswith("counted [2"), done.stdout
    assert line in done.stderr
