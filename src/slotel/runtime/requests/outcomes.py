"""The outcome table: what can happen to a request or a job, and how slotel treats it. Data with its sources.

`docs/outcomes.md` is generated from it. `decision.py` finds the row of a span; metrics, budget and Sentry read the row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from slotel.config.slo import CANCELLED as CANCELLED_TYPES
from slotel.config.slo import CLIENT_CLOSED_REQUEST, Outcome

SEMCONV_HTTP: Final = "OpenTelemetry semantic conventions, HTTP spans, Status"
SEMCONV_RPC: Final = "OpenTelemetry semantic conventions, gRPC, Server span status"
SRE_WORKBOOK: Final = (
    "SRE workbook, chapter 2: availability is the proportion of requests served successfully"
)
SENTRY_SDK: Final = "sentry-sdk, WSGI and ASGI integrations: what escapes the application is an event"
CELERY: Final = (
    "Celery user guide, Tasks: Retry, Ignore and Reject are control flow; throws lists expected failures"
)


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeRow:
    """One row of the table. Rows are compared by identity.

    Args:
        happened: what happened, as a sentence without a full stop.
        outcome: for an SLO without rules of its own; `good` may still be too slow.
        event: whether the exception that caused it becomes an error event. Without an exception there is no event.
        timed: whether its duration is a latency. The lifetime of a websocket or a stream is not.
        span_status: of the span, as its instrumentation sets it (`*`: as it is).
        transaction: Sentry's status of the transaction (`*`: by the answer's status code).
        differ: how `slotel.yaml` changes the outcome; empty if only `slo.outcome` in code can.

    Attributes:
        kept: `sentry.keep: errors` keeps its trace, if the trace was sampled out.
    """

    name: str
    happened: str
    answer: str
    outcome: Outcome
    event: bool = False
    timed: bool = True
    span_status: str = "*"
    transaction: str = "*"
    source: str = SRE_WORKBOOK
    differ: str = ""
    kept: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", self.outcome == "bad")  # as frozen dataclasses set what they compute

    def transaction_status(self, answered: str | None) -> str | None:
        """Return Sentry's status of the transaction.

        Args:
            answered: Sentry's status of the response's status code, or of the span's status.

        A response that names the failure is more precise than the row; one that no client received is ignored.
        """
        if self.transaction == "*" or (self.outcome != "excluded" and answered not in {None, "ok"}):
            return answered
        return self.transaction


SUCCEEDED: Final = OutcomeRow(
    "succeeded", "the request, call or job ended without an error", "2xx, 3xx, OK, done", "good",
    span_status="UNSET",
)  # fmt: skip
ANSWERED: Final = OutcomeRow(
    "answered", "an exception was turned into an answer below 500", "4xx", "good", source=SEMCONV_HTTP,
    differ="`bad.attributes: {http.response.status_code: …}`",
)  # fmt: skip
STREAM: Final = OutcomeRow(
    "stream", "a websocket or an endless stream ended as it should", "101, 2xx", "good", timed=False,
    span_status="UNSET", source="its duration says how long the client stayed",
)  # fmt: skip
ERROR_ANSWER: Final = OutcomeRow(
    "error_answer", "the application answered with a server error, or not at all", "5xx", "bad", event=True,
    span_status="ERROR", transaction="internal_error", source=SEMCONV_HTTP, differ="`bad.http_5xx`, `exclude`",
)  # fmt: skip
FAILED: Final = OutcomeRow(
    "failed", "an exception ended the request, call or job", "5xx, a reset, UNKNOWN, none", "bad", event=True,
    span_status="ERROR", transaction="internal_error", source=SENTRY_SDK, differ="`bad.status_error`",
)  # fmt: skip
BROKEN_STREAM: Final = OutcomeRow(
    "broken_stream", "the answer broke after its head was sent", "2xx, cut off", "bad", event=True, timed=False,
    transaction="internal_error", source=SENTRY_SDK, differ="`bad.status_error`",
)  # fmt: skip
STOPPED: Final = OutcomeRow(
    "stopped", "a BaseException ended it: the server's timeout, sys.exit(1), CancelledError without an event loop",
    "a reset or 5xx",
    "bad", event=True, transaction="internal_error", source=SENTRY_SDK, differ="`bad.status_error`",
)  # fmt: skip
EXITED: Final = OutcomeRow(
    "exited", "sys.exit(0) in a handler ended it", "a reset or 5xx", "bad", transaction="internal_error",
    source="sentry-sdk, WSGI integration: SystemExit(0) is no event", differ="`bad.status_error`",
)  # fmt: skip
MARKED_FAILED: Final = OutcomeRow(
    "marked_failed", "the code set the span's status to ERROR, or the worker was killed before it answered", "any",
    "bad", span_status="ERROR",
    source="OpenTelemetry trace API, Set Status: the application's word", differ="`bad.status_error`",
)  # fmt: skip
CLIENT_LEFT: Final = OutcomeRow(
    "client_left", "the client left: upload or download given up, socket closed, call cancelled, 499",
    "none", "excluded",
    timed=False, transaction="cancelled", source="nginx, status 499: the client closed the request",
    differ="`bad.attributes: {http.response.status_code: ['499']}`",
)  # fmt: skip
CANCELLED: Final = OutcomeRow(
    "cancelled", "the request's task was cancelled (CancelledError in an event loop)", "none", "excluded", timed=False,
    transaction="cancelled", source="asyncio: a server cancels the task of a client that left",
    differ="`bad.attributes: {error.type: [CancelledError]}`",
)  # fmt: skip
CONTROL_FLOW: Final = OutcomeRow(
    "control_flow", "a job ended with Retry, Ignore or Reject, or will be run again", "RETRY, IGNORED, REJECTED",
    "excluded", transaction="aborted", source=CELERY,
    differ="`bad.attributes: {celery.state: [RETRY]}` (RQ, Dramatiq, Huey, arq: `slotel.job.state`)",
)  # fmt: skip
EXPECTED_FAILURE: Final = OutcomeRow(
    "expected_failure", "a job failed with an exception that its task lists in `throws`", "FAILURE", "good",
    source=CELERY, differ="`bad.attributes: {celery.state: [FAILURE]}`",
)  # fmt: skip
RPC_ERROR: Final = OutcomeRow(
    "rpc_error",
    "a call ended with a code that is the server's fault, its client's deadline has passed, or its method is unknown",
    "UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS", "bad", event=True,
    span_status="ERROR", source=SEMCONV_RPC, differ="`bad.status_error`",
)  # fmt: skip
RPC_REFUSED: Final = OutcomeRow(
    "rpc_refused", "a call ended with a code that is the caller's fault", "NOT_FOUND, INVALID_ARGUMENT, …", "good",
    span_status="UNSET", source=SEMCONV_RPC, differ="`bad.attributes: {rpc.grpc.status_code: …}`",
)  # fmt: skip

TABLE: Final = (
    SUCCEEDED, ANSWERED, STREAM, ERROR_ANSWER, FAILED, BROKEN_STREAM, STOPPED, EXITED, MARKED_FAILED, CLIENT_LEFT,
    CANCELLED, CONTROL_FLOW, EXPECTED_FAILURE, RPC_ERROR, RPC_REFUSED,
)  # fmt: skip

__all__ = ["CLIENT_CLOSED_REQUEST", "TABLE", "OutcomeRow"]
RPC_CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""Names of gRPC's status codes, by number. Source: google.rpc.Code."""
RPC_SERVER_FAULTS: Final = frozenset({2, 4, 12, 13, 14, 15})
"""gRPC codes of a server's failures: the row `rpc_error`. Source: SEMCONV_RPC."""
RPC_CANCELLED: Final = 1
SWITCHING_PROTOCOLS: Final = 101
"""The status of a websocket's handshake: the span lasts as long as the websocket."""
SAYS_MORE: Final = (SWITCHING_PROTOCOLS, CLIENT_CLOSED_REQUEST)
"""Statuses below 500 of which the row is not `succeeded`."""
WEBSOCKET_FAILED: Final = frozenset({1011, 4500})
"""Close codes for an unexpected condition in the server. Source: RFC 6455, section 7.4.1; 4500 is Litestar's."""
TASK_CONTROL_FLOW: Final = frozenset({"RETRY", "IGNORED", "REJECTED"})
"""Celery's states of the row `control_flow`. Source: celery.states."""
TASK_FAILED: Final = "FAILURE"
JOB_STATE: Final = "slotel.job.state"
"""Attribute of a job of RQ, Dramatiq, Huey, arq, …, with one of Celery's states."""

CANCELLED_BY_TRIO: Final = "trio.Cancelled"
CANCELLATIONS: Final = frozenset({*CANCELLED_TYPES, CANCELLED_BY_TRIO})
"""Exceptions, and values of `error.type`, of the row `cancelled`."""
ANSWERED_STOPS: Final = frozenset({"eventlet.timeout.Timeout", "gevent.timeout.Timeout"})
"""Types that are no Exception, for which the servers that know them send a 500."""
CLIENT_LEFT_TYPES: Final = frozenset(
    {
        "django.core.exceptions.RequestAborted",
        "django.http.request.UnreadablePostError",
        "hypercorn.utils.UnexpectedMessageError",
        "litestar.exceptions.websocket_exceptions.WebSocketDisconnect",
        "starlette.requests.ClientDisconnect",
        "starlette.websockets.WebSocketDisconnect",
        "tornado.iostream.StreamClosedError",
        "tornado.websocket.WebSocketClosedError",
        "uvicorn.protocols.utils.ClientDisconnected",
        "waitress.channel.ClientDisconnected",
        "werkzeug.exceptions.ClientDisconnected",
    }
)
"""Exceptions by which frameworks tell a handler that its client has disconnected."""
BROKEN_CONNECTION: Final = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, TimeoutError)
"""They mean a client's disconnect only if a server raised them; a connection to a database may break as well."""
SERVERS: Final = frozenset(
    {
        "aiohttp.web_fileresponse", "aiohttp.web_request", "aiohttp.web_response", "aiohttp.web_ws", "cheroot",
        "daphne", "eventlet.wsgi", "gevent.pywsgi", "granian", "gunicorn", "hypercorn", "socketserver",
        "tornado.http1connection", "uvicorn", "waitress", "werkzeug.serving", "wsgiref",
    }
)  # fmt: skip
"""Packages and modules of servers: a connection that breaks in a call from them is the client's.

Modules that an application may also use as a client (asyncio, h11, aiohttp's client) are left out.
"""
BELOW_SERVERS: Final = frozenset(
    {
        "aiohttp", "anyio", "asyncio", "eventlet", "gevent", "h11", "h2", "selectors", "slotel", "socket", "ssl",
        "tornado", "twisted", "websockets", "wsproto",
    }
)  # fmt: skip
"""Packages that both servers and applications call to read and write: the frame above theirs tells who called."""
REPORTED_ANSWERS: Final = frozenset({"aiohttp", "falcon", "fastapi", "starlette"})
"""Packages whose HTTP exceptions with a 5xx status are error events. Source: sentry-sdk's integrations for them."""
ANSWERS_EXCEPTIONS: Final = frozenset({"opentelemetry.instrumentation.django"})
"""Instrumentations whose spans end with exceptions that were already turned into a response."""
TERMINATED: Final = -(256 - 15)
"""Code of the SystemExit by which Celery's main process ends a job: over its time, which is counted there, or revoked.

Source: billiard.common, SIGTERM.
"""
LOGS_STOPS: Final = frozenset({"opentelemetry.instrumentation.celery"})
"""Instrumentations of libraries whose main process logs the end of a worker, as an error that is an event."""
