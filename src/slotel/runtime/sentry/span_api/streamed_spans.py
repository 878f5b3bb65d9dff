"""`sentry_sdk.traces` on OpenTelemetry: the API of sentry-sdk's streamed spans, the only one of sentry-sdk 3.

Such a span is the current one from its start, not only inside `with`; its status is `ok` or `error`; it is exported as
part of a transaction. OpenTelemetry's instrumentations make the spans that sentry-sdk's integrations would make here.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode
from sentry_sdk import tracing_utils

from slotel.runtime.requests.current import served_span
from slotel.runtime.sentry.errors.request_scopes import use_active_scopes
from slotel.runtime.sentry.span_api.arguments import SOURCE, is_made_by_code, with_bounded_name
from slotel.runtime.sentry.span_api.span import OtelSpan, start
from slotel.runtime.upstream.sentry import replace
from slotel.runtime.upstream.sentry.spans import (
    IS_2,
    SCOPE,
    TRACES,
    NoOpStreamedSpan,
    name_later_events,
    name_of_function,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from slotel.runtime.requests.local_roots import OpenSpans

_SEGMENT_SOURCE: Final = "sentry.segment.name.source"
"""The same as `sentry.source`. Source: Sentry's conventions, attributes of segments."""
_KEY: Final = otel_context.create_key("slotel-streamed-span")
_CONTINUED: ContextVar[Context | None] = ContextVar("slotel-continued-trace", default=None)
"""Context of spans without a parent: what `continue_trace` was given, or an empty one after `new_trace`."""
_CURRENT: Final[Any] = object()
"""Default of `parent_span`: the current span. None means no parent."""


class StreamedOtelSpan(OtelSpan):
    """The interface of sentry-sdk's `StreamedSpan`, on a span of OpenTelemetry.

    Args:
        span, open_spans, parent_context: as in `OtelSpan`.
        active: it is the current span until it ends.
    """

    def __init__(
        self, span: Span, open_spans: OpenSpans, *, active: bool, parent_context: Context | None = None
    ) -> None:
        super().__init__(span, open_spans, parent_context=parent_context)
        self.active = active
        self.end_timestamp: datetime | None = None
        if active:
            self._token = otel_context.attach(otel_context.set_value(_KEY, self, self._within()))

    def __enter__(self) -> Self:
        """Return it: it has begun."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End it, unless the code has; an exception marks it failed."""
        if self.end_timestamp is None:
            super().__exit__(kind, error, traceback)

    def finish(self, scope: Any = None, end_timestamp: float | datetime | None = None) -> str | None:
        """End it. Where another span has become the current one, that stays."""
        if self.end_timestamp is None:
            if trace.get_current_span() is not self.span:
                self._token = None
            super().finish(scope, end_timestamp)
            self.end_timestamp = self.timestamp
        return None

    def get_attributes(self) -> dict[str, Any]:
        """Return its attributes, as they are now."""
        return dict(self._attributes())

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one value."""
        super().set_attribute(key, value)
        if key == _SEGMENT_SOURCE:
            super().set_attribute(SOURCE, value)

    @property
    def status(self) -> str:
        """`ok` or `error`."""
        status = getattr(self.span, "status", None)
        return "error" if status is not None and status.status_code is StatusCode.ERROR else "ok"

    @status.setter
    def status(self, status: Any) -> None:
        text = getattr(status, "value", status)
        if text in ("ok", "error"):
            self.span.set_status(Status(StatusCode.OK if text == "ok" else StatusCode.ERROR))


def install(open_spans: OpenSpans) -> None:
    """Replace the functions of `sentry_sdk.traces` by ones that make and read OpenTelemetry spans."""
    api = _Replacements(open_spans)
    for name in TRACES:
        if name == "start_span" and not IS_2:  # the module's asks the scope's, which integrations get as well
            replace(
                SCOPE[name],
                lambda original, _scope, *given, **named: api.start_span(original, *given, **named),
            )
        else:
            replace(TRACES[name], getattr(api, name))


class _Replacements:
    """Each method replaces the function of `sentry_sdk.traces` with its name, which it is given first."""

    def __init__(self, open_spans: OpenSpans) -> None:
        self._open_spans = open_spans

    def start_span(
        self,
        _original: Callable[..., Any],
        name: str,
        attributes: Mapping[str, Any] | None = None,
        parent_span: Any = _CURRENT,
        active: bool = True,
        *_: Any,
        **__: Any,
    ) -> Any:
        said = attributes or {}
        if is_made_by_code(said.get("sentry.origin")):
            return self._begin(name, said, parent_span, active)
        child = with_bounded_name({"op": said.get("sentry.op"), "name": name, "attributes": said})
        if (
            child is not None
            and parent_span is not None
            and not isinstance(parent_span, OtelSpan)
            and trace.get_current_span().get_span_context().is_valid
        ):
            return self._begin(child["name"], child["attributes"], _CURRENT, active)
        if parent_span is None:  # it would be a transaction
            use_active_scopes()
        return NoOpStreamedSpan()  # sentry-sdk's own would be sent where a caller's trace is sampled

    def trace(
        self,
        _original: Callable[..., Any],
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        active: bool = True,
    ) -> Any:
        said = {"sentry.op": "function", **(attributes or {})}

        def decorator(function: Callable[..., Any]) -> Any:
            named = name or name_of_function(function) or "function"

            @functools.wraps(function)
            async def awaited(*given: Any, **arguments: Any) -> Any:
                with self._begin(named, said, _CURRENT, active):
                    return await function(*given, **arguments)

            @functools.wraps(function)
            def called(*given: Any, **arguments: Any) -> Any:
                with self._begin(named, said, _CURRENT, active):
                    return function(*given, **arguments)

            wrapper: Any = awaited if inspect.iscoroutinefunction(function) else called
            with contextlib.suppress(TypeError, ValueError):  # what has none
                wrapper.__signature__ = inspect.signature(function)
            return wrapper

        return decorator if function is None else decorator(function)

    def get_current_span(self, _original: Callable[..., Any], scope: Any = None) -> StreamedOtelSpan | None:
        del scope
        span = trace.get_current_span()
        made = otel_context.get_value(_KEY)
        if isinstance(made, StreamedOtelSpan) and made.span is span:
            return made
        if not span.get_span_context().is_valid:
            span = served_span() or span
        is_one = span.get_span_context().is_valid
        return StreamedOtelSpan(span, self._open_spans, active=False) if is_one else None

    def continue_trace(self, original: Callable[..., Any], incoming: Any) -> None:
        original(incoming)
        carrier = tracing_utils.normalize_incoming_data(incoming)
        _CONTINUED.set(propagate.extract(carrier, Context()))

    def new_trace(self, original: Callable[..., Any]) -> None:
        original()
        _CONTINUED.set(Context())

    def _begin(self, name: str, attributes: Mapping[str, Any], parent: Any, active: bool) -> StreamedOtelSpan:
        context: Context | None = None
        is_outermost = not trace.get_current_span().get_span_context().is_valid
        if isinstance(parent, OtelSpan):
            context = trace.set_span_in_context(parent.span)
        elif parent is None:
            context = _CONTINUED.get() or Context()
        elif is_outermost:
            served = served_span()
            context = _CONTINUED.get() if served is None else trace.set_span_in_context(served)
        span = start({"name": name}, context, self._open_spans).span
        made = StreamedOtelSpan(span, self._open_spans, active=active, parent_context=context)
        made.set_attributes(attributes)
        if active and is_outermost:
            name_later_events(name, made.source or "custom")
        return made
