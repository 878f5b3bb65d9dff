"""Sentry's trace headers beside the W3C ones, of the same trace. Makes no spans, asks no Sentry client.

`traceparent` wins. A request that brings `sentry-trace` alone continues that trace, with its sampling decision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol

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


class _Percent(Setter[Any]):
    """Writes a header whose spaces are `%20`: OpenTelemetry writes `+`, which only HTML forms read as a space."""

    def __init__(self, setter: Setter[Any]) -> None:
        self._setter = setter

    def set(self, carrier: Any, key: str, value: str) -> None:
        """Write it."""
        self._setter.set(carrier, key, value.replace("+", "%20"))


class _Baggage(W3CBaggagePropagator):
    """Baggage as its specification encodes it: sentry-sdk reads `GET+/` as it is written."""

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the header."""
        super().inject(carrier, context, _Percent(setter))


_BAGGAGE: Final = _Baggage()

SamplingContextOf = Callable[[SpanContext], "Mapping[str, str]"]
"""Gives what Sentry's dynamic sampling wants to know of a span's trace; {} where another service began the trace."""

PropagationTargets = Callable[[], "Sequence[Any]"]
"""Gives `trace_propagation_targets` of the client: texts and patterns of URLs that Sentry's headers may go to."""


class PropagationOptions(Protocol):
    """What the app's Sentry client wants of traces that come and go: `SentryConnection`."""

    @property
    def propagation_targets(self) -> Sequence[Any]:
        """See `PropagationTargets`."""

    def continues(self, organization: str | None) -> bool:
        """Whether a trace of that organization of Sentry is continued; None for one that names none."""

    def propagates_to_tasks(self, said: object) -> bool:
        """Whether a task of Celery that is sent takes the trace with it; `said` is its own word, or None."""


class SentryHeaders(TextMapPropagator):
    """Reads and writes `sentry-trace`, and the `sentry-*` entries of `baggage` at the head of a trace.

    Args:
        rate: decides for a `sentry-trace` that brings no decision; in [0, 1].
        sampling_context_of: what goes into `baggage` when this service is the head of the trace.
        targets: where a request may take Sentry's headers with it.
    """

    def __init__(
        self,
        rate: float = 1.0,
        sampling_context_of: SamplingContextOf = lambda _: {},
        targets: PropagationTargets = lambda: EVERYWHERE,
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
        """Write `sentry-trace`, and `baggage` if it does not speak of Sentry yet."""
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
        """Whether the request of the current span goes where the app wants Sentry's headers to go."""
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
    """Baggage without Sentry's entries for requests that must not take them with them."""

    def __init__(self, headers: SentryHeaders) -> None:
        self._headers = headers

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the header."""
        if not self._headers.may_go(context):
            for key in baggage.get_all(context):
                if key.startswith(_OF_SENTRY):
                    context = baggage.remove_baggage(key, context)
        super().inject(carrier, context, setter)


class SinglePassPropagator(CompositePropagator):
    """W3C and Sentry over the headers that they read, picked out of an ASGI scope or a WSGI environ in one pass.

    The ASGI getter decodes every header of a request for each name that it is asked for, and it is asked four times.
    Most requests of browsers bring none of them: then nobody needs to be asked. The request is noted as
    `RequestNote`, the last of them, would.

    Args:
        options: of the app's client; None while there is none.
    """

    def __init__(
        self,
        propagators: Sequence[TextMapPropagator],
        options: Callable[[], PropagationOptions | None] = lambda: None,
    ) -> None:
        super().__init__(propagators)
        self._options = options

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the headers, but for a task of Celery that is to begin a trace of its own."""
        if carrier.__class__ is not dict or "root_id" not in carrier or self._propagates(carrier):  # type: ignore[operator]
            super().inject(carrier, context, setter)
        else:
            for name in _OF_TRACE:  # a task that is run again has those that it came with
                carrier.pop(name, None)  # type: ignore[attr-defined]

    def _propagates(self, task: Any) -> bool:
        said, options = task.pop(_PROPAGATES, None), self._options()
        return said is None or bool(said) if options is None else options.propagates_to_tasks(said)

    def _continued(self, context: Context) -> Context:
        """Return the context without the caller's trace where the app does not want to continue it."""
        options = self._options()
        if options is None or not trace.get_current_span(context).get_span_context().is_remote:
            return context
        organization = baggage.get_baggage(_ORGANIZATION, context)
        if options.continues(None if organization is None else str(organization)):
            return context
        for key in baggage.get_all(context):
            if key.startswith(_OF_SENTRY):
                context = baggage.remove_baggage(key, context)
        return trace.set_span_in_context(trace.INVALID_SPAN, context)

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


class RequestNote(TextMapPropagator):
    """Keeps the incoming request in its context, so that an error event can show it. Reads and writes no header.

    Every server instrumentation hands the WSGI environ or the ASGI scope to the propagators as the carrier: so the
    request is known in every framework without a patch, and looked into only when there is an error.
    """

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return the context with the request in it."""
        given = get_current() if context is None else context
        return set_value(_REQUEST_KEY, carrier, given) if _is_request(carrier, getter) else given

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write nothing."""

    @property
    def fields(self) -> set[str]:
        """Return none."""
        return set()


def request_of(context: Context | None) -> MutableMapping[str, Any] | None:
    """Return the WSGI environ or ASGI scope of the request that a context was extracted from."""
    found = context.get(_REQUEST_KEY) if context is not None else None
    return found if isinstance(found, (dict, MutableMapping)) else None  # a dict needs no question to the ABC


def install(
    named: str,
    rate: float,
    sampling_context_of: SamplingContextOf,
    options: Callable[[], PropagationOptions | None],
) -> None:
    """Make the propagators W3C first and Sentry's beside it, unless the user named others.

    Set here and not through OTEL_PROPAGATORS, which is read when `opentelemetry.propagate` is imported: by then
    it is too late for a distribution. Names that the user gave keep their meaning; `slotel` is SentryHeaders.

    Args:
        named: the user's OTEL_PROPAGATORS or the like; empty for none. Propagators set in code stay as well.
        options: of the app's client; None while there is none.
    """

    def targets() -> Sequence[Any]:
        client = options()
        return EVERYWHERE if client is None else client.propagation_targets

    standing = propagate.get_global_textmap()
    if named.strip() or standing.fields != _DEFAULT_FIELDS:
        propagate.set_global_textmap(CompositePropagator([standing, RequestNote()]))
    else:
        headers = SentryHeaders(rate, sampling_context_of, targets)
        read = TraceContextTextMapPropagator(), TargetedBaggage(headers), headers
        propagate.set_global_textmap(SinglePassPropagator([*read, RequestNote()], options))


def _is_request(carrier: object, getter: object) -> bool:
    """Whether a carrier is a WSGI environ or an ASGI scope, and no message that happens to have keys of that name.

    Of both only a getter of their own can read headers. PEP 3333 demands `wsgi.version` of an environ, the ASGI
    specification `path` of a scope.
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
