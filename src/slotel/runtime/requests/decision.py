"""Decides the outcome of a request, call or job once, when its span ends. Metrics, budget and Sentry read the decision.

The rules are the rows of `outcomes.py`. This module finds the row from the span, the exception in flight and what the
server has seen. No other module derives an outcome from a status, a framework or a traceback.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from slotel.runtime.requests import outcomes as rows
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.requests.outcomes import OutcomeRow
from slotel.runtime.upstream.otel.reading import UNSET, attributes_of
from slotel.runtime.upstream.stdlib import in_event_loop

if TYPE_CHECKING:
    from slotel.runtime.requests.served import ServedRequest

REQUEST_KINDS: Final = (SpanKind.SERVER, SpanKind.CONSUMER)
"""Span kinds that a caller waits for or sent: their outcome counts."""

_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_SUSPENDS: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_SOCKETS: Final = frozenset({"ws", "wss"})


class Decision(NamedTuple):
    """The outcome of a span.

    Args:
        row: its row of the outcome table.
        exception: the exception that failed it, or None.
    """

    row: OutcomeRow
    exception: BaseException | None = None

    @property
    def reports(self) -> bool:
        """Whether the exception becomes an error event."""
        return self.row.event and self.exception is not None

    @property
    def is_answer(self) -> bool:
        """Whether the exception is itself the response, as an HTTPException is."""
        return self.row is rows.ERROR_ANSWER and self.exception is not None


SUCCEEDED: Final = Decision(rows.SUCCEEDED)


def decide(span: ReadableSpan, local_root: LocalRoot | None) -> Decision:
    """Return the outcome of a span that ends. Call it on the thread that ends the span: it reads `sys.exc_info()`."""
    attributes = attributes_of(span)
    status = attributes.get("http.response.status_code") or attributes.get("http.status_code")
    error = sys.exc_info()[1]
    if (
        error is None
        and span.status is UNSET
        and status.__class__ is int
        and status < _SERVER_ERROR
        and status not in rows.SAYS_MORE
        and attributes.get("url.scheme") not in _SOCKETS
        and attributes.get("http.scheme") not in _SOCKETS
        and (
            local_root is None
            or not (local_root.client_left or (local_root.served and local_root.served.client_left))
        )
    ):
        return SUCCEEDED
    served = local_root.served if local_root is not None else None
    exception = _failing(span, error, local_root.handled if local_root is not None else 0)
    row = _row(span, attributes, exception)
    if local_root is not None and local_root.client_left and row.outcome == rows.STREAM.outcome:
        return Decision(rows.CLIENT_LEFT)
    if row is rows.FAILED and local_root is not None and local_root.expected:
        return Decision(rows.EXPECTED_FAILURE)
    decision = Decision(row, None if _is_no_event(row, exception, span) else exception)
    return decision if served is None else seen_by_server(decision, served)


def seen_by_server(decision: Decision, served: ServedRequest) -> Decision:
    """Return the decision, corrected by what the server saw: a disconnect, a broken or refused response."""
    if served.client_left and isinstance(decision.exception, (type(None), OSError, GeneratorExit)):
        return Decision(rows.CLIENT_LEFT)
    if decision.row is rows.BROKEN_STREAM and served.is_unsent:
        return Decision(rows.FAILED, decision.exception)
    failed = served.failure is not None or served.close_code in rows.WEBSOCKET_FAILED
    if failed and decision.row.outcome == rows.STREAM.outcome:
        return Decision(rows.FAILED, decision.exception or served.failure)
    may_break = decision.row in (rows.SUCCEEDED, rows.ANSWERED, rows.MARKED_FAILED)
    if served.is_ending and served.is_broken_off and may_break:
        return Decision(rows.BROKEN_STREAM, decision.exception)
    refused = decision.row is rows.STREAM and (served.status or 0) >= _SERVER_ERROR
    return Decision(rows.ERROR_ANSWER) if refused else decision


def broken_by(decision: Decision, error: BaseException) -> Decision:
    """Return the decision on a request whose response was abandoned or broke after its headers were sent."""
    escaped = of_escaped(error)
    if escaped.row is rows.FAILED:
        return Decision(rows.BROKEN_STREAM, error)
    return decision if decision.row.outcome == rows.FAILED.outcome else escaped


def answered_with(decision: Decision, status: int) -> Decision:
    """Return the decision on a request whose response was made outside its span, by the status that the client got.

    An app that gives a request to its framework once more makes it drop the first span: a GeneratorExit ends that.
    """
    if decision.row is rows.STOPPED and isinstance(decision.exception, GeneratorExit):
        decision = Decision(rows.SUCCEEDED)
    if status < _SERVER_ERROR and decision.row in (rows.FAILED, rows.ERROR_ANSWER):
        return Decision(rows.ANSWERED, decision.exception)
    if status >= _SERVER_ERROR and decision.row in (rows.SUCCEEDED, rows.ANSWERED, rows.STREAM):
        return Decision(rows.ERROR_ANSWER)
    return decision


def row_of_root(span: ReadableSpan, local_root: LocalRoot) -> OutcomeRow:
    """Return the row that a local root had when it ended."""
    return row_of(span) if local_root.decision is None else local_root.decision.row


def of_escaped(error: BaseException) -> Decision:
    """Return the outcome of an exception that leaves the application."""
    if is_client_disconnect(error):
        return Decision(rows.CLIENT_LEFT, error)
    if not isinstance(error, Exception):
        return Decision(rows.CANCELLED if _cancels(error) else _row_of_stop(error), error)
    return Decision(rows.FAILED, error)


def gets_answer(error: BaseException) -> bool:
    """Return whether a server sends a 500 if this exception leaves an application that has sent nothing."""
    return of_escaped(error).row is rows.FAILED or not _names(error).isdisjoint(rows.ANSWERED_STOPS)


def row_of(span: ReadableSpan) -> OutcomeRow:
    """Return the row of a span that is no local root, from its own status and events."""
    return _row(span, attributes_of(span), None)


def _failing(span: ReadableSpan, error: BaseException | None, handled: int) -> BaseException | None:
    """Return the exception if it ended the span; None if the span ended while an earlier exception was being handled.

    A span records the Exception that ends it, unless that is the response. A BaseException such as SystemExit is never
    recorded; it ended the span if it was raised after the span began.

    Args:
        handled: id of the exception that was being handled when the local root started.
    """
    if error is None:
        return None
    if isinstance(error, Exception):
        return error if records(span, error) or _is_the_answer(error, attributes_of(span)) else None
    return error if id(error) != handled else None


def records(span: ReadableSpan, error: BaseException) -> bool:
    """Whether the span recorded an exception of this type."""
    kind = type(error)
    names = {kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"}
    return any(
        event.name == "exception" and (event.attributes or {}).get("exception.type") in names
        for event in reversed(span.events)
    )


def _row(  # noqa: PLR0911 the order of the table's rows
    span: ReadableSpan, attributes: Mapping[str, Any], error: BaseException | None
) -> OutcomeRow:
    status = http_status(attributes)
    code = rpc_code(attributes)
    if code in rows.RPC_SERVER_FAULTS:  # whatever has ended the handler: the client got this
        return rows.RPC_ERROR
    if status == rows.CLIENT_CLOSED_REQUEST or (error is not None and is_client_disconnect(error)):
        return rows.CLIENT_LEFT
    if _is_cancellation(attributes, error):
        return rows.CANCELLED
    if (state := attributes.get("celery.state") or attributes.get(rows.JOB_STATE)) is not None:
        return _row_of_task(str(state), span)
    if code is not None:
        return _row_of_call(code, span, error)
    if error is not None and not isinstance(error, Exception):
        return rows.CONTROL_FLOW if _is_terminated(error, span) else _row_of_stop(error)
    is_socket = not _SOCKETS.isdisjoint((attributes.get("url.scheme"), attributes.get("http.scheme")))
    if status == rows.SWITCHING_PROTOCOLS or (is_socket and (status or 0) < _SERVER_ERROR):
        return (
            rows.STREAM if error is None and span.status.status_code is not StatusCode.ERROR else rows.FAILED
        )
    if status is not None:
        return _row_of_answer(status, span, error)
    if error is not None:
        return rows.FAILED
    return rows.MARKED_FAILED if span.status.status_code is StatusCode.ERROR else rows.SUCCEEDED


def _is_terminated(error: BaseException, span: ReadableSpan) -> bool:
    return isinstance(error, SystemExit) and error.code == rows.TERMINATED and _is_of(span, rows.LOGS_STOPS)


def _row_of_stop(error: BaseException) -> OutcomeRow:
    return rows.EXITED if isinstance(error, SystemExit) and error.code in (0, None) else rows.STOPPED


def _row_of_answer(status: int, span: ReadableSpan, error: BaseException | None) -> OutcomeRow:
    if status >= _SERVER_ERROR:
        return rows.ERROR_ANSWER if error is None or answer_of(error) == status else rows.FAILED
    failed = span.status.status_code is StatusCode.ERROR
    if error is None:
        return rows.MARKED_FAILED if failed else rows.SUCCEEDED
    if status >= _CLIENT_ERROR or answer_of(error) == status or _is_of(span, rows.ANSWERS_EXCEPTIONS):
        return rows.ANSWERED
    return rows.BROKEN_STREAM


def _row_of_task(state: str, span: ReadableSpan) -> OutcomeRow:
    if state in rows.TASK_CONTROL_FLOW:
        return rows.CONTROL_FLOW
    if span.status.status_code is StatusCode.ERROR:
        return rows.FAILED
    return rows.EXPECTED_FAILURE if state == rows.TASK_FAILED else rows.SUCCEEDED


def _row_of_call(code: int, span: ReadableSpan, error: BaseException | None) -> OutcomeRow:
    if code == rows.RPC_CANCELLED:
        return rows.CLIENT_LEFT
    if code:
        return rows.RPC_REFUSED
    if error is not None:
        return rows.FAILED
    return rows.MARKED_FAILED if span.status.status_code is StatusCode.ERROR else rows.SUCCEEDED


def _is_cancellation(attributes: Mapping[str, Any], error: BaseException | None) -> bool:
    if error is None or isinstance(error, Exception):
        return attributes.get("error.type") in rows.CANCELLATIONS
    return _cancels(error)


def _cancels(error: BaseException) -> bool:
    """Whether an exception cancels the request's task; where no event loop runs, there is none: the code failed."""
    names = _names(error)
    return rows.CANCELLED_BY_TRIO in names or (in_event_loop() and not names.isdisjoint(rows.CANCELLATIONS))


def is_client_disconnect(error: BaseException) -> bool:
    """Return whether an exception means that the client has disconnected."""
    if isinstance(error, GeneratorExit):
        return _is_thrown_in(error)
    if not _names(error).isdisjoint(rows.CLIENT_LEFT_TYPES):
        return True
    return isinstance(error, rows.BROKEN_CONNECTION) and _is_of_server(error)


def _is_thrown_in(error: BaseException) -> bool:
    """Whether a server has closed a generator or a coroutine, where the exception begins; else code has raised it."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is None or bool(step.tb_frame.f_code.co_flags & _SUSPENDS)


def _names(error: BaseException) -> set[str]:
    kinds = type(error).__mro__
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds} | {type(error).__qualname__}


def _is_of_server(error: BaseException) -> bool:
    """Whether an exception was raised in a call from the application to its server.

    Frames of the server above the application's belong to the server's call of the application and are ignored.
    """
    found, step = False, error.__traceback__
    while step is not None:
        module = str(step.tb_frame.f_globals.get("__name__", ""))
        package = module.partition(".")[0]
        if module in rows.SERVERS or package in rows.SERVERS:
            found = True
        elif package not in rows.BELOW_SERVERS:
            found = False
        step = step.tb_next
    return found


def answer_of(error: BaseException) -> int | None:
    """Return the status of an exception that is itself a response (Starlette, aiohttp, Tornado, Falcon), or None."""
    for name in ("status_code", "status"):
        status = getattr(error, name, None)
        if isinstance(status, int):
            return status
        if isinstance(status, str) and status[:3].isdigit():
            return int(status[:3])
    return None


def _is_the_answer(error: BaseException, attributes: Mapping[str, Any]) -> bool:
    status = answer_of(error)
    return status is not None and status == http_status(attributes)


def _is_no_event(row: OutcomeRow, error: BaseException | None, span: ReadableSpan) -> bool:
    """Whether an exception is control flow and no error event.

    An HTTPException is; what gRPC cancels a call by, and its `abort`, which raises a bare Exception or AbortError; and
    the exception by which a job ends its process: Celery's main process logs that.
    """
    if row is rows.STOPPED:
        return _is_of(span, rows.LOGS_STOPS)
    if row is rows.RPC_ERROR:
        is_abort = (type(error) is Exception and not error.args) or type(error).__name__ == "AbortError"
        return is_abort or not isinstance(error, Exception)
    if row is rows.ERROR_ANSWER:
        return {kind.__module__.partition(".")[0] for kind in type(error).__mro__}.isdisjoint(
            rows.REPORTED_ANSWERS
        )
    return False


def _is_of(span: ReadableSpan, instrumentations: frozenset[str]) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name in instrumentations


def http_status(attributes: Mapping[str, Any]) -> int | None:
    """Return the status code of an HTTP span's response; None if it has none."""
    value = attributes.get("http.response.status_code") or attributes.get("http.status_code")
    if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
        return int(value)  # a member of HTTPStatus may have its name as its text
    return None


_CODE_ATTRIBUTES: Final = ("rpc.grpc.status_code", "rpc.response.status_code", "rpc.status_code")
"""Attributes that hold the status code of an RPC: contrib's, and those of two releases of the semantic conventions."""
_RPC_NUMBERS: Final = {name: number for number, name in enumerate(rows.RPC_CODES)}


def rpc_code(attributes: Mapping[str, Any]) -> int | None:
    """Return the status code of an RPC, by number; None if the span has none."""
    code = next((attributes[name] for name in _CODE_ATTRIBUTES if name in attributes), None)
    if isinstance(code, str):
        return int(code) if code.isdigit() else _RPC_NUMBERS.get(code)
    return code if isinstance(code, int) else None
