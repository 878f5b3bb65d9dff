"""The request of an event, as sentry-sdk reads it from a WSGI environ or an ASGI scope: it decides what may be sent.

For WSGI, sentry-sdk is called once for each set of keys: unless the app's `data_collection` chooses by values, the
result depends on the names of the headers only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import sentry_sdk
import wrapt
from sentry_sdk.utils import AnnotatedValue  # type: ignore[attr-defined]  # where both 2.x and 3.x have it

from slotel.runtime.upstream.probe import SLOWER, Probe

_MODULE: Final = "sentry_sdk.integrations.wsgi"
_READ: Final = Probe(
    _MODULE, "_make_wsgi_event_processor",
    why="sentry-sdk reads the request and decides what of it may be shown",
    without="an event's request has the method and the URL of its span, no headers",
)  # fmt: skip
_ASGI: Final = Probe(
    "sentry_sdk.integrations._asgi_common", "_get_request_data",
    why=_READ.why, without=_READ.without,
)  # fmt: skip
_PATHS: Final = Probe(
    "sentry_sdk.integrations._asgi_common", "_RootPathInPath",
    why="says that the path has no root path in it", without="sentry-sdk's own way",
    level=None,  # since 2.70
)  # fmt: skip
_URL: Final = Probe(
    _MODULE, "get_request_url",
    why="the URL of a request whose keys were seen before", without="sentry-sdk reads each request whole", level=SLOWER,
)  # fmt: skip
_ADDRESS: Final = Probe(
    _MODULE, "get_client_ip", why="the same of the client's address", without=_URL.without, level=SLOWER
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
_DJANGO: Final = "django.core.handlers.wsgi"
_PATH_KEYS: Final = ("SCRIPT_NAME", "PATH_INFO")
_PARTS: Final = frozenset({"url", "method", "env", "headers", "query_string", "user"})
_NO_PREFIX: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
_MOST_SHAPES: Final = 200
_LONGEST_SHAPE: Final = 4_000
"""Characters of the keys in all: clients choose the names of headers, of 800 kB at most."""


class _Readers(NamedTuple):
    """Functions of sentry-sdk; None where one is gone."""

    read: Callable[..., Any] | None
    url: Callable[..., str] | None
    address: Callable[[Any], Any] | None


class _Shape(NamedTuple):
    """What is shown of environs with the same keys.

    Args:
        headers: name, its key, and what stands in place of a value that is hidden.
        env: keys that are shown as they are.
    """

    headers: tuple[tuple[str, str, AnnotatedValue | None], ...]
    env: tuple[str, ...]


_SHAPES: Final[dict[tuple[Any, ...], _Shape | None]] = {}
"""By `send_default_pii` and the keys; None if sentry-sdk must be called each time."""


def import_readers() -> None:
    """Import the readers of requests now. Otherwise the first error, or the thread that makes transactions, would."""
    _readers()
    _ASGI.load()
    _BOUNDS.load()
    wrapt.register_post_import_hook(_add_djangos, "django.http.request")


@cache
def _readers() -> _Readers:
    return _Readers(_READ.load(), _URL.load(), _ADDRESS.load())


def wsgi_request(
    environ: Mapping[str, Any], options: Mapping[str, Any], *, is_forwarded: bool = False
) -> dict[str, Any]:
    """Return an event's `request`, and under `user` the client's address, if they may be shown.

    Args:
        options: of the active client.
        is_forwarded: whether the URL is that of `X-Forwarded-Host` and `X-Forwarded-Proto`.
    """
    if _DJANGO in sys.modules:
        environ = _as_servers_write(environ)
    found = _requested(environ, options)
    url = _readers().url
    if is_forwarded and url is not None and found:
        found["url"] = url(environ, use_x_forwarded_for=True)
    return found


def _requested(environ: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    keys = (options.get("send_default_pii"), *environ)
    shape = _SHAPES.get(keys)
    if shape is None or _chooses_by_value(options):
        found = _read(environ)
        if keys not in _SHAPES and not _chooses_by_value(options):
            if len(_SHAPES) >= _MOST_SHAPES:
                _SHAPES.clear()
            if sum(map(len, environ)) <= _LONGEST_SHAPE:
                _SHAPES[keys] = _learnt(found, environ, shows_user=bool(keys[0]))
        return found
    return _shown(shape, environ, shows_user=bool(keys[0]))


def _as_servers_write(environ: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an environ whose paths are the request's bytes as Latin-1: Django has put decoded text into it."""
    decoded = {key: path for key in _PATH_KEYS if not _is_latin_1_of_utf_8(path := environ.get(key, ""))}
    if not decoded:
        return environ
    return {**environ, **{key: path.encode("utf-8").decode("latin-1") for key, path in decoded.items()}}


def _is_latin_1_of_utf_8(path: str) -> bool:
    if path.isascii():
        return True
    try:
        path.encode("latin-1").decode()
    except UnicodeError:
        return False
    return True


def _shown(shape: _Shape, environ: Mapping[str, Any], *, shows_user: bool) -> dict[str, Any]:
    _, url, address = _readers()
    assert url is not None and address is not None  # noqa: S101, PT018 a shape was learnt with them
    return {
        "url": url(environ),
        "method": environ.get("REQUEST_METHOD"),
        "env": {key: environ[key] for key in shape.env},
        "headers": {
            name: environ[key] if hidden is None else AnnotatedValue(hidden.value, {**hidden.metadata})
            for name, key, hidden in shape.headers
        },
        "query_string": environ.get("QUERY_STRING"),
        "user": (address(environ) or None) if shows_user else None,
    }


def _chooses_by_value(options: Mapping[str, Any]) -> bool:
    collected = options.get("data_collection")
    return "send_default_pii" not in options or (
        collected is not None and (collected.__class__ is not dict or bool(collected.get("provided_by_user")))
    )


def _read(environ: Mapping[str, Any]) -> dict[str, Any]:
    make = _readers().read
    if make is None:
        return {}
    event: Any = make(environ, use_x_forwarded_for=False)({}, {})
    return {**event.get("request", {}), "user": (event.get("user") or {}).get("ip_address")}


def _learnt(found: Mapping[str, Any], environ: Mapping[str, Any], *, shows_user: bool) -> _Shape | None:
    """Return which parts of an environ sentry-sdk has used; None if they cannot be recognised."""
    if None in _readers() or found.keys() != _PARTS:
        return None
    headers = []
    for name, value in found["headers"].items():
        key = name.upper().replace("-", "_")
        if key not in _NO_PREFIX:
            key = f"HTTP_{key}"
        headers.append((name, key, value if value.__class__ is AnnotatedValue else None))
    if not all(key in environ for _, key, _ in headers) or not all(key in environ for key in found["env"]):
        return None
    shape = _Shape(tuple(headers), tuple(found["env"]))
    return shape if _shown(shape, environ, shows_user=shows_user) == found else None


def asgi_request(connection: Any) -> dict[str, Any]:
    """Return an event's `request` for an ASGI scope."""
    read, paths = _ASGI.load(), _PATHS.load()
    if read is None:
        return {}
    return dict(
        read(connection)
        if paths is None
        else read(connection, root_path_in_path=getattr(paths, "EITHER", paths.EXCLUDED))
    )


_FLASK_USER: Final = Probe(
    "sentry_sdk.integrations.flask", "_add_user_to_event",
    why="the user of Flask-Login, if personal data may be sent", without="events of Flask lack the user",
)  # fmt: skip


def _add_djangos(module: Any) -> None:
    """Give sentry-sdk's readers the exception that they would know if Django had been imported before them."""
    known = _UNREADABLE.load()
    if isinstance(known, tuple) and module.RawPostDataException not in known:
        _UNREADABLE.put(sys.modules[_UNREADABLE.where], (module.RawPostDataException, *known))


def add_flask_user(event: Any) -> None:
    """Add the user that Flask-Login knows."""
    add = _FLASK_USER.load()
    if add is not None:
        add(event)


def fits_in_event(length: int) -> bool:
    """Return whether `max_request_body_size` allows a body of so many bytes in an event."""
    fits = _BOUNDS.load()
    return fits is not None and bool(fits(sentry_sdk.get_client(), length))


def filtered(values: Mapping[str, Any], behaviour: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a part of the app's `data_collection` allows in an event."""
    choose = _FILTER.load()
    return {} if choose is None else choose(items=values, behaviour=behaviour)


def removed_body(*, is_too_large: bool = False) -> Any:
    """Return what stands in an event in the place of a body."""
    if is_too_large:
        return AnnotatedValue.removed_because_over_size_limit()
    return AnnotatedValue.removed_because_raw_data()
