"""Faults of OpenTelemetry's instrumentations that break an app or a count, each mended where its function is looked up.

Each entry names the fault and the release that was seen to have it. Where the function is gone, nothing is done.
"""

from __future__ import annotations

import functools
import sys
from typing import Any


def accept_statuses_as_numbers() -> None:
    """Let Falcon's `resp.status = 404` be: 0.66b1 splits it as text, and every answer becomes a 500."""
    module = sys.modules.get("opentelemetry.instrumentation.wsgi")
    original: Any = getattr(module, "add_response_attributes", None)
    if module is None or original is None or hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def add_response_attributes(span: Any, start_response_status: Any, *args: Any, **kwargs: Any) -> Any:
        text = (
            start_response_status if isinstance(start_response_status, str) else _text(start_response_status)
        )
        return original(span, text, *args, **kwargs)

    module.add_response_attributes = add_response_attributes  # type: ignore[attr-defined]


def name_djangos_home() -> None:
    """Give Django's `path("")` the route `/`: 0.66b1 takes it for none, and the home page is grouped with 404s."""
    module = sys.modules.get("opentelemetry.instrumentation.django.middleware.otel_middleware")
    middleware: Any = getattr(module, "_DjangoMiddleware", None)
    original: Any = getattr(middleware, "process_view", None)
    key = getattr(middleware, "_environ_span_key", None)
    if original is None or key is None or hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def process_view(its: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        answer = original(its, request, *args, **kwargs)
        span, match = request.META.get(key), getattr(request, "resolver_match", None)
        if span is not None and getattr(match, "route", None) == "":
            span.set_attribute("http.route", "/")
            span.update_name(f"{request.method} /")
        return answer

    middleware.process_view = process_view


def _text(status: Any) -> str:
    return f"{getattr(status, 'value', status)} "
