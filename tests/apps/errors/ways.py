"""Ways in which an app raises one exception that more than one place could report; all apps share them."""

import builtins
import logging

import sentry_sdk
from opentelemetry import trace

LOG = logging.getLogger("shop")


def here():
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def chained():
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError(here()) from error


def while_handling():
    try:
        {}["key"]
    except KeyError:
        raise ValueError(here())  # noqa: B904 the point of it


def group():
    kind = getattr(builtins, "ExceptionGroup", None)  # Python 3.11 has it
    raise ValueError(here()) if kind is None else kind(here(), [ValueError("one"), KeyError("two")])


def fail():
    raise ValueError(here())


def captured():
    try:
        fail()
    except ValueError as error:
        sentry_sdk.capture_exception(error)
        raise


def logged():
    try:
        fail()
    except ValueError:
        LOG.exception("it fails")
        raise


def logged_as_argument():
    try:
        fail()
    except ValueError as error:
        LOG.error("it fails", exc_info=error)  # noqa: TRY400 the exception itself
        LOG.critical("it still fails", exc_info=True)
        raise


def through_spans():
    tracer = trace.get_tracer("shop")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("middle"):
        try:
            with tracer.start_as_current_span("inner"):
                captured()
        except ValueError:
            LOG.exception("on the way")
            raise


def raised_again():
    try:
        logged()
    except ValueError as error:
        raise error from None


WAYS = {
    function.__name__: function
    for function in (
        chained,
        while_handling,
        group,
        captured,
        logged,
        logged_as_argument,
        through_spans,
        raised_again,
    )
}
