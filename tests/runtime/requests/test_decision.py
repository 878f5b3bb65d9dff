"""Each row of the outcome table is found from what a real span, the exception in flight and the server say."""

import asyncio
import runpy
import sys
import types
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode

from slotel.runtime.requests import decision, outcomes
from slotel.runtime.requests.local_roots import OpenSpans

TRACER = TracerProvider().get_tracer("test")


class ClientDisconnect(Exception):  # noqa: N818
    """As Starlette's."""


ClientDisconnect.__module__ = "starlette.requests"


class TeapotError(Exception):
    status_code = 418


class UnavailableError(Exception):
    """As Falcon's HTTPServiceUnavailable, which sentry-sdk reports."""

    status = "503 Service Unavailable"


UnavailableError.__module__ = "falcon.errors"


def raised_by(package, error):
    """Raise an exception in a function of a package."""
    module = types.ModuleType(f"{package}.connection")
    exec("def fail(error): raise error", vars(module))
    module.fail(error)


def closed():
    """Close a generator, as a server does with the body of a response."""
    body = parts()
    next(body)
    body.throw(GeneratorExit())


def parts():
    yield b"part"
    yield b"part"


def decided(
    *, kind=SpanKind.SERVER, raises=None, package=None, status=None, records=True, left=False, **attributes
):
    """End a real span with an exception in flight, as an instrumentation would, and decide about it."""
    given = {key.replace("__", "."): value for key, value in attributes.items()}
    span = TRACER.start_span("root", kind=kind, attributes=given)
    local_root = OpenSpans().open(span)
    local_root.client_left = left
    if status is not None:
        span.set_status(status)
    try:
        if raises is GeneratorExit:
            closed()
        elif raises is not None:
            raised_by(package or "shop", raises)
    except BaseException as error:
        if records and isinstance(error, Exception):
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
        return decision.decide(span, local_root)
    return decision.decide(span, local_root)


def http(code, **more):
    return {"http__response__status_code": code, **more}


CASES = [
    (outcomes.SUCCEEDED, http(200)),
    (outcomes.SUCCEEDED, http(404)),
    (outcomes.SUCCEEDED, {}),
    (outcomes.SUCCEEDED, {"rpc__grpc__status_code": 0}),
    (outcomes.SUCCEEDED, {"celery__state": "SUCCESS", "kind": SpanKind.CONSUMER}),
    (outcomes.ANSWERED, http(404, raises=LookupError("no such page"))),
    (outcomes.ANSWERED, http(418, raises=TeapotError())),
    (outcomes.STREAM, {"url__scheme": "wss"}),
    (outcomes.STREAM, http(200, url__scheme="ws")),
    (outcomes.STREAM, http(101, url__scheme="http")),
    (outcomes.FAILED, http(101, raises=ValueError("broken"))),
    (outcomes.ERROR_ANSWER, http(503, status=StatusCode.ERROR)),
    (outcomes.ERROR_ANSWER, http(503, raises=UnavailableError(), records=False)),
    (outcomes.FAILED, http(500, raises=ValueError("broken"))),
    (outcomes.FAILED, http(500, raises=TeapotError())),
    (outcomes.FAILED, {"raises": ValueError("broken")}),
    (outcomes.FAILED, {"raises": ConnectionResetError("the database"), "package": "psycopg"}),
    (outcomes.FAILED, {"raises": TimeoutError("a call of the app's"), "package": "asyncio"}),
    (outcomes.FAILED, {"raises": ValueError("broken"), "rpc__grpc__status_code": 0}),
    (outcomes.FAILED, {"raises": ValueError("broken"), "url__scheme": "ws"}),
    (outcomes.FAILED, {"celery__state": "FAILURE", "status": StatusCode.ERROR}),
    (outcomes.BROKEN_STREAM, http(200, raises=ValueError("broken"))),
    (outcomes.STOPPED, {"raises": SystemExit(1)}),
    (outcomes.STOPPED, {"raises": KeyboardInterrupt()}),
    (outcomes.STOPPED, {"raises": asyncio.CancelledError()}),
    (outcomes.STOPPED, {"raises": asyncio.CancelledError(), "error__type": "CancelledError"}),
    (outcomes.EXITED, {"raises": SystemExit()}),
    (outcomes.MARKED_FAILED, http(200, status=StatusCode.ERROR)),
    (outcomes.MARKED_FAILED, {"status": StatusCode.ERROR}),
    (outcomes.CLIENT_LEFT, http(499)),
    (outcomes.CLIENT_LEFT, {"raises": ClientDisconnect()}),
    (outcomes.CLIENT_LEFT, http(200, raises=BrokenPipeError(), package="gunicorn")),
    (outcomes.CLIENT_LEFT, http(200, raises=GeneratorExit)),
    (outcomes.STOPPED, {"raises": GeneratorExit("of the view")}),
    (outcomes.CLIENT_LEFT, {"rpc__grpc__status_code": 1}),
    (outcomes.CANCELLED, {"raises": asyncio.CancelledError(), "loop": True}),
    (outcomes.CANCELLED, {"error__type": "CancelledError", "status": StatusCode.ERROR}),
    (outcomes.CONTROL_FLOW, {"celery__state": "RETRY"}),
    (outcomes.CONTROL_FLOW, {"celery__state": "IGNORED"}),
    (outcomes.CONTROL_FLOW, {"celery__state": "REJECTED"}),
    (outcomes.EXPECTED_FAILURE, {"celery__state": "FAILURE"}),
    (outcomes.RPC_ERROR, {"rpc__grpc__status_code": 13}),
    (outcomes.RPC_ERROR, {"rpc__response__status_code": "DATA_LOSS"}),
    (outcomes.RPC_REFUSED, {"rpc__grpc__status_code": 5, "raises": Exception()}),
]


@pytest.mark.parametrize(("row", "happened"), CASES, ids=lambda value: getattr(value, "name", None))
def test_what_happened_has_its_row(row, happened):
    async def in_loop():
        return decided(**given)

    given = {key: value for key, value in happened.items() if key != "loop"}
    found = asyncio.run(in_loop()) if "loop" in happened else decided(**given)
    assert found.row.name == row.name
    assert found.reports == (row.event and "raises" in happened)


def test_every_row_of_the_table_has_a_case():
    assert {row.name for row, _ in CASES} == {row.name for row in outcomes.TABLE}


def test_an_exception_that_was_being_handled_when_the_request_came_is_not_what_failed_it():
    try:
        raise SystemExit(1)
    except SystemExit:
        assert decided(**http(200)).row is outcomes.SUCCEEDED
        assert sys.exc_info()[0] is SystemExit


@pytest.mark.parametrize(
    ("happened", "row"), [({}, outcomes.CLIENT_LEFT), ({"status": StatusCode.ERROR}, outcomes.FAILED)]
)
def test_a_socket_whose_framework_says_that_its_client_closed_it_is_excluded_unless_it_failed(happened, row):
    assert decided(**http(101), left=True, **happened).row is row


def test_an_exception_that_is_handled_while_the_span_ends_is_not_what_failed_it():
    assert decided(raises=ValueError("handled"), records=False, **http(200)).row is outcomes.SUCCEEDED


def test_a_timeout_that_the_application_raises_is_its_own_whichever_server_called_it():
    """A server's frames stand above the application's, too: uvicorn's middleware, for one."""
    server = types.ModuleType("uvicorn.middleware")
    exec("def call(application): application()", vars(server))

    def application():
        raised_by("asyncio", TimeoutError("a call of the app's"))

    def sends():
        raised_by("uvicorn", BrokenPipeError())

    found = []
    for act in (application, sends):
        with pytest.raises((TimeoutError, BrokenPipeError)) as caught:
            server.call(act)
        found.append(decision.is_client_disconnect(caught.value))
    assert found == [False, True]


def test_an_exit_that_no_span_knows_of_is_a_stop_and_no_fault():
    assert decision.of_escaped(SystemExit(1)).row is outcomes.STOPPED
    assert decision.of_escaped(SystemExit()).row is outcomes.EXITED


@pytest.mark.parametrize(
    ("code", "row"), [(outcomes.TERMINATED, outcomes.CONTROL_FLOW), (1, outcomes.STOPPED)]
)
def test_a_job_that_celerys_main_process_ends_is_told_of_there_and_no_exit_of_a_job_is_an_event(code, row):
    tracer = TracerProvider().get_tracer("opentelemetry.instrumentation.celery")
    span = tracer.start_span("run/job", kind=SpanKind.CONSUMER)
    local_root = OpenSpans().open(span)
    try:
        raise SystemExit(code)
    except SystemExit:
        found = decision.decide(span, local_root)
    assert (found.row, found.reports) == (row, False)


def test_an_abort_of_grpc_is_no_event_and_another_exception_is():
    failing = {"rpc__grpc__status_code": 13}
    assert not decided(raises=Exception(), **failing).reports
    assert decided(raises=ValueError("broken"), **failing).reports


def test_the_page_of_outcomes_is_what_the_table_says():
    docs = Path(__file__).parents[3] / "docs"
    made = runpy.run_path(str(docs / "outcomes_page.py"))["page"]()
    assert (docs / "outcomes.md").read_text() == made, "run: python docs/outcomes_page.py"


@pytest.mark.parametrize(
    ("row", "answered", "status"),
    [
        (outcomes.SUCCEEDED, None, None),
        (outcomes.SUCCEEDED, "not_found", "not_found"),
        (outcomes.FAILED, None, "internal_error"),
        (outcomes.FAILED, "unavailable", "unavailable"),
        (outcomes.STOPPED, "ok", "internal_error"),
        (outcomes.CLIENT_LEFT, "internal_error", "cancelled"),
        (outcomes.ANSWERED, "not_found", "not_found"),
    ],
)
def test_a_transaction_has_the_status_of_its_answer_or_of_what_ended_it(row, answered, status):
    assert row.transaction_status(answered) == status


def test_what_is_bad_is_worth_keeping_and_nothing_else():
    assert {row.name for row in outcomes.TABLE if row.kept} == {
        "error_answer", "failed", "broken_stream", "stopped", "exited", "marked_failed", "rpc_error",
    }  # fmt: skip
