"""Names a request or job as sentry-sdk's integration does, for an app that wants it.

A `transaction_style` other than the integration's default always applies; the default only with
`transaction_names: native`. A name comes from code (Flask's endpoint, a view function), which is known on the request
thread only, or from the route, which the span has.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import sentry_sdk
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from slotel.runtime.upstream.frameworks.django import current_request
from slotel.runtime.upstream.sentry.spans import name_of_function

_DEFAULTS: Final = {"asgi": "url", "django": "url", "fastapi": "url", "flask": "endpoint", "starlette": "url"}
"""Framework → sentry-sdk's default style."""
_OTHERS: Final = {
    "bottle": "endpoint", "falcon": "uri_template", "pyramid": "route_name",
    "quart": "endpoint",
}  # fmt: skip
"""The same for frameworks with sentry-sdk's own integration, which names a request itself."""
_OF_CODE: Final = frozenset({"endpoint", "function_name"})
_MOST_SCOPES: Final = 1_000
_CELERY_RUN: Final = "run/"
"""Prefix of a task's name in the span names of OpenTelemetry's Celery instrumentation."""
_CONVERTED: Final = re.compile(r"<(?:[^:>]+:)?([^>]+)>")


class Name(NamedTuple):
    """A transaction's name and its `source`."""

    name: str
    source: str


class TransactionStyles:
    """The naming style of each framework, cached for each instrumentation.

    Args:
        client: whose integrations define the styles.
        is_native: `transaction_names` is `native`.
    """

    def __init__(self, client: Any, is_native: bool) -> None:
        self.is_native = is_native
        self._client = client
        self._known: dict[str, tuple[str, str | None]] = {}

    def of(self, span: ReadableSpan) -> tuple[str, str | None]:
        """Return the framework of a span, and its style; None if OpenTelemetry's name is kept."""
        scope = span.instrumentation_scope
        name = "" if scope is None else scope.name
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _MOST_SCOPES:
                self._known.clear()
            framework = framework_of(span)
            style = _chosen(framework, _DEFAULTS.get(framework), self._client, self.is_native)
            known = self._known[name] = framework, style
        return known


def name_of_code(
    span: ReadableSpan, carrier: Mapping[str, Any] | None, styles: TransactionStyles
) -> Name | None:
    """Return the name of the code that serves the current request; None if the style is another one.

    Args:
        carrier: the ASGI scope, into which Starlette writes the endpoint.
    """
    framework, style = styles.of(span)
    if style not in _OF_CODE:
        return None
    name: str | None = None
    if framework == "flask":
        flask = sys.modules.get("flask")
        name = flask.request.endpoint if flask is not None and flask.has_request_context() else None
    elif framework == "django":
        found = getattr(current_request(), "resolver_match", None)
        name = None if found is None else name_of_function(getattr(found.func, "view_class", found.func))
    else:
        endpoint = None if carrier is None else carrier.get("endpoint")
        name = None if endpoint is None else name_of_function(endpoint)
    return Name(str(name), "component") if name else None


def name_of_route(
    span: ReadableSpan, attributes: Mapping[str, Any], styles: TransactionStyles
) -> Name | None:
    """Return the name of a request by its route, or of a task; None if the style is another one."""
    if span.kind is SpanKind.CONSUMER and span.name.startswith(_CELERY_RUN):
        return Name(span.name.removeprefix(_CELERY_RUN), "task") if styles.is_native else None
    framework, style = styles.of(span)
    route = attributes.get("http.route")
    if style != "url" or not isinstance(route, str) or not route:
        return None
    if framework == "django":
        route = "/" + _CONVERTED.sub(r"{\1}", route.lstrip("/"))
    return Name(route, "route")


def is_named_by(integration: str, *, is_native: bool) -> bool:
    """Return whether the app wants the name that one of sentry-sdk's own integrations gives a request."""
    return _chosen(integration, _OTHERS.get(integration), sentry_sdk.get_client(), is_native) is not None


def framework_of(span: ReadableSpan) -> str:
    """Return sentry-sdk's identifier of the framework whose instrumentation made a span."""
    scope = span.instrumentation_scope
    return "" if scope is None else scope.name.rpartition(".")[2].removesuffix("_server")


def _chosen(framework: str, default: str | None, client: Any, is_native: bool) -> str | None:
    if default is None:
        return None
    integration = client.get_integration(framework)
    chosen: str = getattr(integration, "transaction_style", None) or default
    return chosen if is_native or chosen != default else None
