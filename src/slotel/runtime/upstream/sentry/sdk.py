"""What slotel uses of sentry-sdk, 2 and 3, and it does not promise.

The functions of `utils` have no underscore, but are no API; they are called through their module. `init` and
`set_client` are its API, and have no hook.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace, TracebackType
from typing import Any, Final, NamedTuple, TypeAlias

import sentry_sdk
import wrapt
from sentry_sdk import integrations, scope, tracing_utils, utils
from sentry_sdk.scope import Scope, add_global_event_processor

from slotel.runtime.upstream.probe import LESS, SLOWER, Probe, unwrapped
from slotel.runtime.upstream.sentry import request
from slotel.runtime.upstream.sentry.frames import WANTED, Wanted, remembering

_UTILS: Final = "sentry_sdk.utils"
_MOST_NAMES: Final = 2000
"""Pairs of a logger's name and a pattern that are remembered."""
_COSTS: Final = "an error costs what it costs with sentry-sdk alone"

_LINES: Final = Probe(
    _UTILS, "get_source_context",
    why="source lines are added later, from a cache", without=_COSTS, level=SLOWER,
)  # fmt: skip
_FRAME: Final = Probe(
    _UTILS, "serialize_frame",
    why="decides for each frame whether its variables are read", without=_COSTS, level=SLOWER,
)  # fmt: skip
_HIDDEN: Final = Probe(
    _UTILS, "should_hide_frame",
    why="a stack shows none of slotel's frames, as it shows none of sentry-sdk's",
    without="a message's stack ends with a frame of slotel",
)  # fmt: skip
_EXCEPTIONS: Final = Probe(
    _UTILS, "exceptions_from_error_tuple",
    why="knows the exception that the frames belong to", without=_COSTS, level=SLOWER,
)  # fmt: skip
_AUTO: Final = Probe(
    "sentry_sdk.integrations", "_AUTO_ENABLING_INTEGRATIONS",
    why="the list of what plain sentry-sdk would enable",
    without="errors of frameworks other than Flask, Django, Celery, Starlette and FastAPI may go unreported",
)  # fmt: skip
_INSTALLING: Final = Probe(
    "sentry_sdk.integrations", "_installer_lock",
    why="an integration that imports another one's library while it is set up must not wait for itself",
    without="such an `init` does not return",
)  # fmt: skip
_PROCESSORS: Final = Probe(
    "sentry_sdk.scope", "global_event_processors",
    why="slotel's event processor comes before sentry-sdk's own test for duplicates",
    without="it comes last: one exception may be reported twice",
)  # fmt: skip
_INIT: Final = Probe(
    "sentry_sdk", "init",
    why="the app calls it itself: its options stay, and nothing is traced twice",
    without="the app's own client is taken over when it is set",
)  # fmt: skip
_GIVES_WAY: Final = Probe(
    "sentry_sdk.integrations", "_INTEGRATION_DEACTIVATES",
    why="a call that goes through LangChain is one span, not one of OpenAI's as well", without="it is two",
    level=None,  # newer than the oldest release
)  # fmt: skip
_SET_CLIENT: Final = Probe(
    "sentry_sdk.scope:Scope", "set_client",
    why="a client that comes past `init` is taken over, too",
    without="a client that the app makes by hand is not taken over",
)  # fmt: skip
_INNER: Final = Probe(
    "sentry_sdk.transport:EnvelopePrinterTransport", "_inner",
    why="SENTRY_PRINT_ENVELOPES wraps the transport in its own",
    without="with SENTRY_PRINT_ENVELOPES, losses are not counted",
    level=None,  # every other transport rightly has none
)  # fmt: skip
_EVENT_HANDLER: Final = Probe(
    "sentry_sdk.integrations.logging:LoggingIntegration", "_handler",
    why="a log line about an exception that was reported makes no event",
    without="such an event is made, and dropped afterwards",
    level=None,  # an attribute of the instance
)  # fmt: skip
_IGNORED: Final = Probe(
    "sentry_sdk.integrations.logging", "fnmatch",
    why="each log record is compared with some twenty patterns of names: the answers are remembered",
    without="each log record costs 8 us more", level=SLOWER,
)  # fmt: skip
_NAME_OF: Final = Probe(
    _UTILS, "transaction_from_function",
    why="names a view function as sentry-sdk does", without="`transaction_style` of a function has no effect",
)  # fmt: skip
_FLASK_USER: Final = Probe(
    "sentry_sdk.integrations.flask", "_add_user_to_event",
    why="the user of Flask-Login, if personal data may be sent", without="events of Flask lack the user",
)  # fmt: skip
_SUBPROCESSES: Final = Probe(
    "sentry_sdk.integrations.stdlib", "_install_subprocess",
    why="breadcrumbs of started processes, and the trace for them, without a hook of each HTTP request",
    without="they have neither",
)  # fmt: skip
_CRUMBS: Final = Probe(
    "sentry_sdk.tracing_utils", "maybe_create_breadcrumbs_from_span",
    why="a started process and the app's own spans of requests are breadcrumbs", without="they are none",
    level=None,  # since 2.70 no span is
)  # fmt: skip
_CACHES: Final = Probe(
    "sentry_sdk.integrations.django.caching", "patch_caching",
    why="spans of Django's caches, where the app asks for them", without="`cache_spans` has no effect",
)  # fmt: skip
_SOURCE: Final = Probe(
    "sentry_sdk.tracing_utils", "add_source",
    why="finds the app's own line that made a slow call", without="slow calls do not say which line made them",
)  # fmt: skip
LOOKS_FOR_SPANS: Final = tuple(
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
_BOUNDS: Final = Probe(
    "sentry_sdk.integrations._wsgi_common", "request_body_within_bounds",
    why="the app's `max_request_body_size`", without="events of ASGI apps lack the body",
)  # fmt: skip
_UNREADABLE: Final = Probe(
    "sentry_sdk.integrations._wsgi_common", "_RAW_DATA_EXCEPTIONS",
    why="what Django raises for a body that was read as a stream; sentry-sdk would import Django to know it",
    without="events of Django lack the request where the app has read such a body",
)  # fmt: skip
_FILTER: Final = Probe(
    "sentry_sdk.data_collection", "_apply_key_value_collection_filtering",
    why="the app's `data_collection`", without="events of ASGI apps that set it lack cookies",
    level=None,  # as new as the option
)  # fmt: skip
_ANNOTATED: Final = Probe(
    "sentry_sdk._types", "AnnotatedValue",
    why="says in the event why a body is not shown", without="such a body is left out without a word",
)  # fmt: skip

SCOPE: Final = (
    "start_span", "start_transaction", "continue_trace", "get_traceparent", "get_baggage",
    "iter_trace_propagation_headers", "set_transaction_name", "span", "transaction",
)  # fmt: skip
_ADD_PROCESSOR: Final = Probe(
    "sentry_sdk.scope:Scope", "add_event_processor",
    why="integrations of sentry-sdk name events after functions",
    without="events and transactions of Bottle, Falcon ASGI and Tornado have sentry-sdk's names",
)  # fmt: skip
IS_2: Final = find_spec("sentry_sdk.tracing") is not None
"""sentry-sdk 3 has streamed spans alone, and its scope makes them."""
_SCOPE: Final = {
    name: Probe(
        "sentry_sdk.scope:Scope", name,
        why="sentry-sdk's tracing API makes and reads OpenTelemetry spans",
        without="it does what it does without slotel",
        level=LESS if IS_2 or name == "start_span" else None,  # 3 has fewer
    )
    for name in SCOPE
}  # fmt: skip

TRACES: Final = ("start_span", "continue_trace", "new_trace", "get_current_span", "trace")
_TRACES: Final = {
    name: Probe(
        "sentry_sdk.traces", name,
        why="the API of streamed spans makes and reads OpenTelemetry spans", without="it makes none",
        level=LESS if name == "start_span" and IS_2 else None,  # 2.61 has fewer, 3 asks its scope
    )
    for name in TRACES
}  # fmt: skip

NoOpSpan: Final[Callable[[], Any]] = import_module(
    "sentry_sdk.tracing" if IS_2 else "sentry_sdk.traces"
).NoOpSpan
"""A span that does nothing, of sentry-sdk 2 or 3."""
NoOpStreamedSpan: Final[Callable[[], Any]] = (
    import_module("sentry_sdk.traces").NoOpStreamedSpan if IS_2 else NoOpSpan
)


class Choice(NamedTuple):
    """Which frames' variables are wanted, and what the event says of the others."""

    wanted: Wanted
    left_out: str


Choose: TypeAlias = Callable[
    ["type[BaseException] | None", "BaseException | None", "TracebackType | None"], "Choice | None"
]
"""Gives the choice for an exception's type, value and traceback; None for all variables of all frames."""

_OWN: Final = "slotel."
_LEFT_OUT: Final = "left out"


# -- the client ------------------------------------------------------------------------------------------------


def before_init(wrap: Callable[[Any], Any]) -> None:
    """Put a function before `sentry_sdk.init`, wherever the app imports it from."""
    if _INIT.wrap(sentry_sdk, wrap):
        _INIT.put(sentry_sdk.api, _INIT.of(sentry_sdk))


def after_set_client(call: Callable[[Any, Any], None]) -> None:
    """Call a function with each scope and the client that it was given."""

    def wrap(original: Any) -> Any:
        def set_client(its: Any, client: Any = None) -> None:
            original(its, client)
            call(its, client)

        return set_client

    _SET_CLIENT.wrap(scope.Scope, wrap)


def put_processor_first(processor: Any) -> None:
    """Register an event processor before all others."""
    add_global_event_processor(processor)
    registered = _PROCESSORS.of(scope)
    if isinstance(registered, list) and registered[-1:] == [processor]:
        registered.insert(0, registered.pop())


def inner_transport(transport: Any) -> Any:
    """Return the transport that sends: one that prints has it inside."""
    inner = _INNER.of(transport)
    return transport if inner is None else inner


def takes_envelopes(transport: Any) -> bool:
    """Return whether a transport of the app's own takes transactions: a function is given errors only."""
    kind = type(inner_transport(transport))
    return transport is not None and kind.__module__ != "sentry_sdk.transport"


def auto_enabling_integrations() -> tuple[str, ...]:
    """Return the paths of the integrations that sentry-sdk enables by itself; none where it lists them elsewhere."""
    return tuple(_AUTO.of(integrations) or ())


def takes_the_place_of(identifier: str) -> frozenset[str]:
    """Return the integrations of which each, where its library is installed, does what another one would do."""
    known = _GIVES_WAY.of(integrations)
    return frozenset(each for each, others in known.items() if identifier in others) if known else frozenset()


def is_setting_up() -> bool:
    """Return whether sentry-sdk is setting integrations up: who asks for another one now may wait for ever."""
    lock = _INSTALLING.of(integrations)
    return lock is not None and bool(lock.locked())


def skip_log_records(integration: Any, skip: Callable[[logging.LogRecord], bool]) -> None:
    """Have sentry-sdk's LoggingIntegration make no event of some log records; breadcrumbs stay."""
    handler = _EVENT_HANDLER.of(integration)
    if isinstance(handler, logging.Handler):
        handler.addFilter(lambda record: not skip(record))


def remember_ignored_loggers() -> None:
    """Have sentry-sdk's LoggingIntegration compare a logger's name with each pattern of ignored ones once."""
    module = sys.modules.get(_IGNORED.where)
    if module is not None:
        _IGNORED.wrap(module, functools.lru_cache(_MOST_NAMES))


# -- what an error's event shows -------------------------------------------------------------------------------


def leave_source_lines_out() -> bool:
    """Have sentry-sdk leave the source lines of frames empty; return whether it does: somebody else adds them."""

    def no_lines(*_: Any, **__: Any) -> tuple[list[str], None, list[str]]:
        return [], None, []

    return _LINES.wrap(utils, lambda _: no_lines)


def hide_own_frames() -> None:
    """Have sentry-sdk leave slotel's frames out of stacks."""

    def wrap(original: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def should_hide_frame(frame: Any) -> bool:
            return str(frame.f_globals.get("__name__")).startswith(_OWN) or original(frame)

        return should_hide_frame

    _HIDDEN.wrap(utils, wrap)


def choose_variables(choose: Choose) -> bool:
    """Ask before the variables of an exception's frames are read; return whether sentry-sdk can be asked.

    Args:
        choose: called once for each event that is made of an exception.
    """

    def of_exceptions(original: Callable[..., Any]) -> Callable[..., Any]:
        def exceptions_from_error_tuple(exc_info: Any, *args: Any, **kwargs: Any) -> Any:
            choice = choose(*exc_info)
            if choice is None:
                return original(exc_info, *args, **kwargs)
            token = WANTED.set(choice.wanted)
            try:
                exceptions = original(exc_info, *args, **kwargs)
            finally:
                WANTED.reset(token)
            if exceptions:
                exceptions[-1]["mechanism"].setdefault("data", {})[_LEFT_OUT] = choice.left_out
            return exceptions

        return exceptions_from_error_tuple

    return _FRAME.wrap(utils, remembering) and _EXCEPTIONS.wrap(utils, of_exceptions)


def is_reduced(event: Mapping[str, Any]) -> bool:
    """Return whether variables were left out of an event."""
    try:
        return _LEFT_OUT in event["exception"]["values"][-1]["mechanism"]["data"]
    except (LookupError, TypeError):
        return False


# -- the request of an event -----------------------------------------------------------------------------------


def import_readers() -> None:
    """Import what reads requests: else the first error would, or the thread that makes transactions."""
    request.import_readers()
    _BOUNDS.load()
    wrapt.register_post_import_hook(_add_djangos, "django.http.request")


def _add_djangos(module: Any) -> None:
    """Tell sentry-sdk's readers what they would know if Django had been imported before them."""
    known = _UNREADABLE.load()
    if isinstance(known, tuple) and module.RawPostDataException not in known:
        _UNREADABLE.put(sys.modules[_UNREADABLE.where], (module.RawPostDataException, *known))


def add_flask_user(event: Any) -> None:
    """Add the user that Flask-Login knows."""
    add = _FLASK_USER.load()
    if add is not None:
        add(event)


def fits_in_event(length: int) -> bool:
    """Return whether the app's settings let a body of so many bytes into an event."""
    fits = _BOUNDS.load()
    return fits is not None and bool(fits(sentry_sdk.get_client(), length))


def filtered(values: Mapping[str, Any], behaviour: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a part of the app's `data_collection` lets into an event."""
    choose = _FILTER.load()
    return {} if choose is None else choose(items=values, behaviour=behaviour)


def removed_body(*, is_too_large: bool = False) -> Any:
    """Return what stands in an event in the place of a body."""
    kind = _ANNOTATED.load()
    if kind is None:
        return ""
    return kind.removed_because_over_size_limit() if is_too_large else kind.removed_because_raw_data()


def name_of_function(function: Any) -> str | None:
    """Return sentry-sdk's name for what answers a request."""
    name = _NAME_OF.of(utils)
    return None if name is None else name(function)


def note_subprocesses() -> None:
    """Have sentry-sdk write a breadcrumb of each process that is started."""
    install = _SUBPROCESSES.load()
    if install is not None:
        install()


@functools.cache
def trace_django_caches() -> None:
    """Have sentry-sdk make spans of Django's caches, for an integration with `cache_spans`."""
    patch = _CACHES.load()
    if patch is not None:
        patch()


_AS_IN_TRANSACTIONS: Final = {"code.line.number": "code.lineno", "code.file.path": "code.filepath"}
"""Name of a streamed span's attribute → name of the same in a transaction."""


class _Attributes:
    """Takes what sentry-sdk says of a streamed span."""

    def __init__(self, put: Callable[[str, Any], object]) -> None:
        self._put = put

    def set_attribute(self, name: str, value: Any) -> None:
        self._put(_AS_IN_TRANSACTIONS.get(name, name), value)


def add_source(put: Callable[[str, Any], object], options: Mapping[str, Any]) -> None:
    """Tell where in the app's own code the thread is.

    Args:
        put: takes attributes of a span.
        options: the client's, which say what is the app's code.
    """
    find = _SOURCE.load()
    if find is not None:
        named = {name: options.get(name) for name in ("project_root", "in_app_include", "in_app_exclude")}
        find(_Attributes(put), **named)


# -- its tracing API -------------------------------------------------------------------------------------------


def replace_in_scope(name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a function before a method, or before the getter of a property, of sentry-sdk's Scope.

    Args:
        name: one of `SCOPE`.
        wrap: gives the new function for the original one.
    """
    _SCOPE[name].wrap(Scope, wrap)


def add_breadcrumb_of(op: str, description: str, data: Mapping[str, Any]) -> None:
    """Have sentry-sdk write the breadcrumb that it makes of a span which ends; since 2.70 it makes none."""
    add = _CRUMBS.of(tracing_utils)
    if add is not None:
        span = SimpleNamespace(op=op, description=description, _data=dict(data), _tags=dict(data))
        add(sentry_sdk.get_isolation_scope(), span)


def name_later_events(name: str, source: str) -> None:
    """Have events of the current scope that are in no span carry a name, as they do once it has had a transaction."""
    method = unwrapped(_SCOPE["set_transaction_name"].of(Scope))
    if method is not None:
        method(Scope.get_current_scope(), name, source)


def take_for_spans(kind: type[Any]) -> None:
    """Have the modules of sentry-sdk that say something only to its own kind of span say it to this class."""
    for probe in LOOKS_FOR_SPANS:
        wrapt.register_post_import_hook(functools.partial(_take, probe, kind), probe.where)


def _take(probe: Probe, kind: type[Any], module: Any) -> None:
    probe.put(module, kind)


def replace_in_traces(name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a function before one of `sentry_sdk.traces`.

    Args:
        name: one of `TRACES`.
        wrap: gives the new function for the original one.
    """
    _TRACES[name].wrap(import_module("sentry_sdk.traces"), wrap)


def before_processors(wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a function before the one that adds an event processor to a scope."""
    _ADD_PROCESSOR.wrap(Scope, wrap)
