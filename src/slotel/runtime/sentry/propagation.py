"""Propagators that read and write Sentry's trace headers in addition to the W3C ones, for the same trace.

`traceparent` wins. A request that has `sentry-trace` alone continues that trace, with its sampling decision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, create_key, get_current, set_value
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SENTRY_TRACE: Final = "sentry-trace"
_HEADER: Final = re.compile(r"\s*([0-9a-f]{32})-([0-9a-f]{16})(?:-([01]))?\s*", re.IGNORECASE)
_REQUEST_KEY: Final = create_key("slotel.request")
_OF_SENTRY: Final = "sentry-"
_ORGANIZATION: Final = "sentry-org_id"
_OF_TRACE: Final = ("traceparent", "tracestate", SENTRY_TRACE)
_PROPAGATES: Final = "sentry-propagate-traces"
"""A task's own word, as `apply_async(headers=…)` takes it. Source: sentry-sdk, CeleryIntegration."""
EVERYWHERE: Final = [".*"]
"""The default of `trace_propagation_targets`. Source: sentry-sdk, `MATCH_ALL`."""
_SCOPES: Final = ("http", "websocket")
_LOW_BITS: Final = (1 << 64) - 1

_READ: Final = {name.encode(): name for name in ("traceparent", "tracestate", "baggage", SENTRY_TRACE)}
_READ_OF_WSGI: Final = {"HTTP_" + name.upper().replace("-", "_"): name for name in _READ.values()}
_DEFAULT_FIELDS: Final = {"traceparent", "tracestate", "baggage"}


class _Baggage(W3CBaggagePropagator):
    """Baggage with spaces as `%20`: OpenTelemetry writes `+`, which only HTML forms read as a space."""

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the header."""
        written: dict[str, str] = {}
        super().inject(written, context)
        for key, value in written.items():
            setter.set(carrier, key, value.replace("+", "%20"))


_BAGGAGE: Final = _Baggage()


def _without_sentry(context: Context | None) -> Context:
    """Return the context without Sentry's entries of the baggage."""
    left = get_current() if context is None else context
    for key in baggage.get_all(left):
        if key.startswith(_OF_SENTRY):
            left = baggage.remove_baggage(key, left)
    return left


class SentryHeaders(TextMapPropagator):
    """Reads and writes `sentry-trace`, and the `sentry-*` entries of `baggage` at the head of a trace.

    Args:
        rate: sample rate for a `sentry-trace` without a decision, in [0, 1].
        sampling_context_of: the `sentry-*` entries of `baggage` where this service began the trace; else {}.
        targets: the client's `trace_propagation_targets`: texts and patterns of URLs that get Sentry's headers.
    """

    def __init__(
        self,
        rate: float = 1.0,
        sampling_context_of: Callable[[SpanContext], Mapping[str, str]] = lambda _: {},
        targets: Callable[[], Sequence[Any]] = lambda: EVERYWHERE,
    ) -> None:
        self._bound = round(rate * (1 << 64))
        self._sampling_context_of = sampling_context_of
        self._targets = targets

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return the context with the remote parent of `sentry-trace`, unless `traceparent` gave one."""
        given = get_current() if context is None else context
        if trace.get_current_span(given).get_span_context().is_valid:
            return given
        found = getter.get(carrier, SENTRY_TRACE)
        match = _HEADER.fullmatch(found[0]) if found else None
        if match is None:
            return given
        trace_id, span_id = int(match[1], 16), int(match[2], 16)
        sampled = match[3] == "1" if match[3] else (trace_id & _LOW_BITS) < self._bound
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
        return trace.set_span_in_context(NonRecordingSpan(parent), given) if parent.is_valid else given

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write `sentry-trace`; and `baggage`, unless it has entries of Sentry already."""
        current = trace.get_current_span(context).get_span_context()
        if not current.is_valid or not self.may_go(context):
            return
        sampled = int(current.trace_flags.sampled)
        ids = f"{format_trace_id(current.trace_id)}-{format_span_id(current.span_id)}"
        setter.set(carrier, SENTRY_TRACE, f"{ids}-{sampled}")
        if any(key.startswith(_OF_SENTRY) for key in baggage.get_all(context)):
            return  # the head's, unchanged
        told = context
        for key, value in self._sampling_context_of(current).items():
            told = baggage.set_baggage(f"{_OF_SENTRY}{key}", value, told)
        if told is not context:
            _BAGGAGE.inject(carrier, told, setter)

    def may_go(self, context: Context | None) -> bool:
        """Return whether the request of the current span matches the targets."""
        targets = self._targets()
        if list(targets) == EVERYWHERE:
            return True
        attributes = getattr(trace.get_current_span(context), "attributes", None) or {}
        url = attributes.get("url.full") or attributes.get("http.url")
        if not url:
            return bool(targets)
        return any(target in url if isinstance(target, str) else target.search(url) for target in targets)

    @property
    def fields(self) -> set[str]:
        """Return the headers that `inject` writes."""
        return {SENTRY_TRACE, "baggage"}


class TargetedBaggage(_Baggage):
    """W3C baggage, without Sentry's entries in requests that do not match the targets."""

    def __init__(self, headers: SentryHeaders) -> None:
        self._headers = headers

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the header."""
        if not self._headers.may_go(context):
            context = _without_sentry(context)
        super().inject(carrier, context, setter)


class SinglePassPropagator(CompositePropagator):
    """W3C's and Sentry's propagators, given only their headers, which one pass takes out of the scope or environ.

    The ASGI getter decodes every header of a request for each name that it is asked for, four times a request. Most
    requests have none of these headers: then no propagator is called. The request is kept in the context, as
    `RequestContextPropagator` keeps it.

    Args:
        connection: the `SentryConnection`, which knows the app's options for propagation; None while there is none.
    """

    def __init__(
        self,
        propagators: Sequence[TextMapPropagator],
        connection: Callable[[], Any] = lambda: None,
    ) -> None:
        super().__init__(propagators)
        self._connection = connection

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the headers, except for a Celery task that begins its own trace."""
        if carrier.__class__ is not dict or "root_id" not in carrier or self._propagates(carrier):  # type: ignore[operator]
            super().inject(carrier, context, setter)
        else:
            for name in _OF_TRACE:  # a task that is run again has those that it came with
                carrier.pop(name, None)  # type: ignore[attr-defined]

    def _propagates(self, task: Any) -> bool:
        said, connection = task.pop(_PROPAGATES, None), self._connection()
        return said is None or bool(said) if connection is None else connection.propagates_to_tasks(said)

    def _continued(self, context: Context) -> Context:
        """Return the context without the caller's trace where the app does not want to continue it.

        Sentry's entries of a baggage that came without a trace are of none: they are left out, as by sentry-sdk.
        """
        connection, parent = self._connection(), trace.get_current_span(context).get_span_context()
        if not parent.is_valid:
            return _without_sentry(context)
        if connection is None or not parent.is_remote:
            return context
        organization = baggage.get_baggage(_ORGANIZATION, context)
        if connection.continues(None if organization is None else str(organization)):
            return context
        return trace.set_span_in_context(trace.INVALID_SPAN, _without_sentry(context))

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return the context with what the headers bring."""
        if not _is_request(carrier, getter):
            return self._continued(super().extract(carrier, context, getter))
        try:
            if "REQUEST_METHOD" not in carrier:  # type: ignore[operator]
                found = _of_scope(carrier)  # type: ignore[arg-type]
            else:
                is_alone = carrier.keys().isdisjoint(_READ_OF_WSGI)  # type: ignore[attr-defined]
                found = {} if is_alone else _of_environ(carrier)  # type: ignore[arg-type]
        except (AttributeError, TypeError, ValueError):  # its headers are none of a scope's
            return self._continued(super().extract(carrier, context, getter))
        if found:
            context = self._continued(super().extract(found, context, default_getter))
        return set_value(_REQUEST_KEY, carrier, Context() if context is None else context)


def _of_scope(scope: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the headers that are read, of an ASGI scope."""
    found: dict[str, list[str]] = {}
    for name, value in scope.get("headers") or ():
        known = _READ.get(name.lower())
        if known is not None:
            found.setdefault(known, []).append(value.decode("utf-8", "replace"))
    return found


def _of_environ(environ: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the headers that are read, of a WSGI environ."""
    return {name: [environ[key]] for key, name in _READ_OF_WSGI.items() if key in environ}


class RequestContextPropagator(CompositePropagator):
    """Keeps the incoming request in its context, for error events. Reads and writes no header.

    Every server instrumentation passes the WSGI environ or the ASGI scope to the propagators as the carrier: so the
    request is known in every framework without a patch.
    """

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return the context with the request in it."""
        given = get_current() if context is None else context
        return set_value(_REQUEST_KEY, carrier, given) if _is_request(carrier, getter) else given


def request_of(context: Context | None) -> MutableMapping[str, Any] | None:
    """Return the WSGI environ or ASGI scope that a context was extracted from; None if there is none."""
    found = context.get(_REQUEST_KEY) if context is not None else None
    return found if isinstance(found, (dict, MutableMapping)) else None  # a dict needs no question to the ABC


def install(
    named: str,
    rate: float,
    sampling_context_of: Callable[[SpanContext], Mapping[str, str]],
    connection: Callable[[], Any],
) -> None:
    """Set W3C's and Sentry's propagators, unless the user named others: then only `RequestContextPropagator` is added.

    OTEL_PROPAGATORS cannot be used for this: it is read when `opentelemetry.propagate` is imported, before a
    distribution is loaded. Propagators that were set in code stay, too.

    Args:
        named: the user's OTEL_PROPAGATORS; empty for none.
        rate, sampling_context_of, connection: as in `SentryHeaders` and `SinglePassPropagator`.
    """

    def targets() -> Sequence[Any]:
        found = connection()
        return EVERYWHERE if found is None else found.propagation_targets

    standing = propagate.get_global_textmap()
    if named.strip() or standing.fields != _DEFAULT_FIELDS:
        propagate.set_global_textmap(CompositePropagator([standing, RequestContextPropagator([])]))
    else:
        headers = SentryHeaders(rate, sampling_context_of, targets)
        read = TraceContextTextMapPropagator(), TargetedBaggage(headers), headers
        propagate.set_global_textmap(SinglePassPropagator([*read, RequestContextPropagator([])], connection))


def _is_request(carrier: object, getter: object) -> bool:
    """Return whether a carrier is a WSGI environ or an ASGI scope, and not the headers of a message with such names.

    Both have getters of their own. PEP 3333 requires `wsgi.version` in an environ, the ASGI specification `path` in a
    scope.
    """
    if getter is default_getter or not isinstance(carrier, dict):
        return False
    if "REQUEST_METHOD" in carrier:
        return "wsgi.version" in carrier
    return (
        carrier.get("type") in _SCOPES
        and "path" in carrier
        and isinstance(carrier.get("headers"), (list, tuple))
    )
