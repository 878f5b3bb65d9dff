"""sentry-sdk's tracing API, of 2 and 3: where it makes and reads spans, and what it says of spans that are made.

The functions of `utils` have no underscore, but are no API; they are called through their module.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Final

import sentry_sdk
import wrapt
from sentry_sdk import tracing_utils, utils
from sentry_sdk.scope import Scope

from slotel.runtime.upstream.probe import LESS, Probe, unwrapped

_NAME_OF: Final = Probe(
    "sentry_sdk.utils", "transaction_from_function",
    why="names a view function as sentry-sdk does", without="`transaction_style` of a function has no effect",
)  # fmt: skip
_CRUMBS: Final = Probe(
    "sentry_sdk.tracing_utils", "maybe_create_breadcrumbs_from_span",
    why="a started process and the app's own spans of requests are breadcrumbs", without="they are none",
    level=None,  # since 2.70 no span is
)  # fmt: skip
_SOURCE: Final = Probe(
    "sentry_sdk.tracing_utils", "add_source",
    why="finds the app's own line that made a slow call", without="slow calls do not say which line made them",
)  # fmt: skip
CHECKS_SPAN_CLASS: Final = tuple(
    Probe(module, "Span", why=why, without="spans do not say it", level=None)  # 3 has no such class
    for module, why in (
        ("sentry_sdk.feature_flags", "a span of OpenTelemetry says which feature flags were evaluated in it"),
        ("sentry_sdk.integrations.anthropic", "a span of an answer of another kind says so"),
        ("sentry_sdk.integrations.stdlib", "the span of a started process says in which folder"),
        (
            "sentry_sdk.integrations.strawberry",
            "the span of an operation of GraphQL has its document and name",
        ),
    )
)
ADD_PROCESSOR: Final = Probe(
    "sentry_sdk.scope:Scope", "add_event_processor",
    why="integrations of sentry-sdk name events after functions",
    without="events and transactions of Bottle, Falcon ASGI and Tornado have sentry-sdk's names",
)  # fmt: skip
IS_2: Final = find_spec("sentry_sdk.tracing") is not None
"""sentry-sdk 3 has streamed spans alone, and its scope makes them."""
SCOPE: Final = {
    name: Probe(
        "sentry_sdk.scope:Scope", name,
        why="sentry-sdk's tracing API makes and reads OpenTelemetry spans",
        without="it does what it does without slotel",
        level=LESS if IS_2 or name == "start_span" else None,  # 3 has fewer
    )
    for name in (
        "start_span", "start_transaction", "continue_trace", "get_traceparent", "get_baggage",
        "iter_trace_propagation_headers", "set_transaction_name", "span", "transaction",
    )
}  # fmt: skip
"""Name of a method, or of the getter of a property, of sentry-sdk's Scope → its probe."""
TRACES: Final = {
    name: Probe(
        "sentry_sdk.traces", name,
        why="the API of streamed spans makes and reads OpenTelemetry spans", without="it makes none",
        level=LESS if name == "start_span" and IS_2 else None,  # 2.61 has fewer, 3 asks its scope
    )
    for name in ("start_span", "continue_trace", "new_trace", "get_current_span", "trace")
}  # fmt: skip
"""Name of a function of `sentry_sdk.traces` → its probe."""
NoOpSpan: Final[Callable[[], Any]] = import_module(
    "sentry_sdk.tracing" if IS_2 else "sentry_sdk.traces"
).NoOpSpan
"""A span that does nothing, of sentry-sdk 2 or 3."""
NoOpStreamedSpan: Final[Callable[[], Any]] = (
    import_module("sentry_sdk.traces").NoOpStreamedSpan if IS_2 else NoOpSpan
)


def name_of_function(function: Any) -> str | None:
    """Return sentry-sdk's name for what answers a request."""
    name = _NAME_OF.of(utils)
    return None if name is None else name(function)


_RENAMED: Final = {"code.line.number": "code.lineno", "code.file.path": "code.filepath"}
"""Name of a streamed span's attribute → name of the same in a transaction."""


def add_source(put: Callable[[str, Any], object], options: Mapping[str, Any]) -> None:
    """Add the app's own line of code that the thread is at, as `code.*` attributes.

    Args:
        put: takes attributes of a span.
        options: the client's, which say what is the app's code.
    """
    find = _SOURCE.load()
    if find is not None:
        named = {name: options.get(name) for name in ("project_root", "in_app_include", "in_app_exclude")}
        find(
            SimpleNamespace(set_attribute=lambda key, value: put(_RENAMED.get(key, str(key)), value)), **named
        )


def add_breadcrumb_of(op: str, description: str, data: Mapping[str, Any]) -> None:
    """Have sentry-sdk write the breadcrumb that it makes of a span which ends; since 2.70 it makes none."""
    add = _CRUMBS.of(tracing_utils)
    if add is not None:
        span = SimpleNamespace(op=op, description=description, _data=dict(data), _tags=dict(data))
        add(sentry_sdk.get_isolation_scope(), span)


def name_later_events(name: str, source: str) -> None:
    """Have events of the current scope that are in no span carry a name, as they do once it has had a transaction."""
    method = unwrapped(SCOPE["set_transaction_name"].of(Scope))
    if method is not None:
        method(Scope.get_current_scope(), name, source)


def accept_as_sentry_span(kind: type[Any]) -> None:
    """Have the modules of sentry-sdk that say something only to its own kind of span say it to this class."""
    for probe in CHECKS_SPAN_CLASS:
        wrapt.register_post_import_hook(functools.partial(_take, probe, kind), probe.where)


def _take(probe: Probe, kind: type[Any], module: Any) -> None:
    probe.put(module, kind)
