"""The request in an error event: read from the WSGI environ or ASGI scope only when there is an error.

sentry-sdk's own readers read it, so that its options decide what is sent (cookies, addresses, bodies). Where a release
lacks them, method and URL come from the span instead.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from functools import partial
from http.cookies import SimpleCookie
from typing import Any, Final, TypeAlias

import sentry_sdk

from slotel.config.names import REDACTED
from slotel.runtime.logs import LOG
from slotel.runtime.upstream.frameworks import django
from slotel.runtime.upstream.frameworks.django import FORCED_ROOT, current_request
from slotel.runtime.upstream.frameworks.flask import has_loaded_user, has_read_body
from slotel.runtime.upstream.frameworks.starlette import BODY, FORM
from slotel.runtime.upstream.sentry.request import (
    add_flask_user,
    asgi_request,
    filtered,
    fits_in_event,
    removed_body,
    wsgi_request,
)

Carrier: TypeAlias = MutableMapping[str, Any]
"""A WSGI environ, or an ASGI scope."""
_WERKZEUG: Final = "werkzeug.request"
"""Key of Werkzeug's request in a WSGI environ. Source: its documentation, `Request.environ`."""
_DETAILS: Final = frozenset({"data", "cookies"})
_BODIES: Final = frozenset({"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"})
"""A request of HTTP/1 without both has no body. Source: RFC 9112, section 6.3."""


def add_request(
    event: Any,
    carrier: Carrier | None,
    attributes: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add to the event's `request` what it lacks, and to `user` the client's address. Never raises.

    Args:
        carrier: None where the request is not known: then only the attributes are used.
        attributes: of the local root, with OpenTelemetry's names, for method and URL.
        details: `request`, `user` and `extra` that `add_framework_data` has found before, on the request's thread.
    """
    found: dict[str, Any] = {}
    try:
        if carrier is not None:
            found = _from_wsgi(carrier) if "REQUEST_METHOD" in carrier else _from_asgi(carrier)
    except Exception:  # noqa: BLE001 another sentry-sdk: the span's attributes say the most important
        found = {}
    user = found.pop("user", None)
    if user:
        event.setdefault("user", {}).setdefault("ip_address", user)
    found = found or _from_span(attributes)  # what sentry-sdk leaves out is not to be shown
    if details:
        found = {**found, **details.get("request", {})}
        for part in ("user", "extra"):
            if part in details:
                event[part] = {**details[part], **(event.get(part) or {})}
    if found:
        event["request"] = {**found, **(event.get("request") or {})}


def add_framework_data(event: Any, carrier: Carrier | None = None, *, is_over: bool = False) -> None:
    """Add body, cookies and user of the current request, or arguments of the current job, to an event. Never raises.

    To be called on the thread of the request.

    Args:
        is_over: the request has ended: a body that the app has not read, or a user that it did not load, is left out.
            Before that, both are read here.
    """
    for add in (partial(_add_flask, carrier), _add_django, _add_celery):
        try:
            add(event, is_over)
        except Exception as error:  # noqa: BLE001 an event without these details is better than none
            LOG.debug("a request's details are missing in an event: %s", error)
    if carrier is not None and "auth" in carrier and may_send("user_info"):
        _add_user_of(carrier, event)


def may_send(what: str) -> bool:
    """Return whether the options of the Sentry client allow personal data of this kind to be sent.

    Args:
        what: a key of `data_collection`, as `user_info`, `cookies`, `queues`; without that option `send_default_pii`
            decides.
    """
    collected = _collected()
    if collected is None:
        return bool(sentry_sdk.get_client().options.get("send_default_pii"))
    return bool(collected.get(what))


def _collected() -> Mapping[str, Any] | None:
    """Return the app's `data_collection`; None where `send_default_pii` decides."""
    options = sentry_sdk.get_client().options
    collected = options.get("data_collection")
    is_given = isinstance(collected, dict) and (
        collected.get("provided_by_user") or "send_default_pii" not in options
    )
    return collected if is_given else None


def _add_user_of(scope: Carrier, event: Any) -> None:
    """Add the user that Starlette's AuthenticationMiddleware has found."""
    with contextlib.suppress(Exception):  # an attribute of a class of the app
        told = {name: getattr(scope["user"], name, None) for name in ("username", "id", "email")}
        known = {name: value for name, value in told.items() if value}
        if known and not event.get("user"):
            event["user"] = known


def _has_details(event: Any) -> bool:
    return not _DETAILS.isdisjoint(event.get("request") or ())


def _has_something(environ: Mapping[str, Any]) -> bool:
    """Return whether a request may have a body, or cookies that may be sent."""
    is_http_1 = environ.get("SERVER_PROTOCOL", "").startswith("HTTP/1.")
    return not is_http_1 or not _BODIES.isdisjoint(environ) or may_send("cookies")


def _extract(extractor: Any, event: Any, is_read: bool) -> None:
    if not is_read:  # then it has no body to show, unless it is too long in any case
        extractor.raw_data, extractor.parsed_body = bytes, lambda: None
    extractor.extract_into_event(event)


def _add_flask(carrier: Carrier | None, event: Any, is_over: bool) -> None:
    flask = sys.modules.get("flask")
    if flask is None or _has_details(event):
        return
    # without a context: in a thread that the request has started, or after its context has gone
    if not flask.has_request_context():
        request = carrier.get(_WERKZEUG) if carrier is not None else None
        if request is not None and _has_something(request.environ):
            _extract_flask(request, event, has_read_body(request))
        return
    request = flask.request
    if _has_something(request.environ):
        _extract_flask(request, event, not is_over or has_read_body(request))
    elif not is_over:
        event.setdefault("request", {})  # as the extractor leaves it, which looks for a body in four ways
    if may_send("user_info") and (not is_over or has_loaded_user(flask.g)):
        add_flask_user(event)


def _extract_flask(request: Any, event: Any, is_read: bool) -> None:
    from sentry_sdk.integrations.flask import FlaskRequestExtractor

    _extract(FlaskRequestExtractor(request), event, is_read)


def _add_django(event: Any, is_over: bool) -> None:
    request = current_request()
    if request is None or _has_details(event):
        return
    if not is_over or _has_something(request.META):
        from sentry_sdk.integrations.django import DjangoRequestExtractor

        _extract(DjangoRequestExtractor(request), event, not is_over or django.has_read_body(request))
    if may_send("user_info") and (not is_over or django.has_loaded_user(request)):
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            known = event.setdefault("user", {})
            known.setdefault("id", str(user.pk))
            known.setdefault("username", user.get_username())
            if getattr(user, "email", None):
                known.setdefault("email", user.email)


def _add_celery(event: Any, is_over: bool) -> None:
    del is_over
    celery = sys.modules.get("celery")
    task = celery.current_task if celery is not None else None
    if not task or not task.request.id:
        return
    event.setdefault("tags", {}).setdefault("celery_task_id", str(task.request.id))
    job: dict[str, Any] = {"task_name": task.name}
    if may_send("queues"):
        job.update(args=task.request.args, kwargs=task.request.kwargs)
    elif _collected() is None:
        job.update(args=REDACTED, kwargs=REDACTED)
    event.setdefault("extra", {}).setdefault("celery-job", job)


def _body(scope: Carrier) -> dict[str, Any]:
    """Return `{"data": …}` with the body that an ASGI app has read: JSON, a form, or else why it is left out."""
    collected = _collected()
    if collected is not None and "incoming_request" not in collected.get("http_bodies", ()):
        return {}
    form, body = scope.get(FORM), scope.get(BODY)
    headers = dict(scope.get("headers") or ())
    length = headers.get(b"content-length", b"")
    size = int(length) if length.isdigit() else len(body or b"")
    if not size:
        return {}
    if not fits_in_event(size):
        return {"data": removed_body(is_too_large=True)}
    if form:
        return {
            "data": {key: value if isinstance(value, str) else removed_body() for key, value in form.items()}
        }
    if b"json" in headers.get(b"content-type", b""):
        with contextlib.suppress(ValueError):
            return {"data": json.loads(body or b"")}
    return {"data": removed_body()} if body else {}


def _cookies(header: str) -> dict[str, Any]:
    """Return `{"cookies": …}` with those that the options allow; {} where they allow none."""
    if not may_send("cookies"):
        return {}
    cookies = dict(_each_cookie(header))
    collected = _collected()
    if collected is not None:
        cookies = filtered(cookies, collected["cookies"])
    return {"cookies": cookies} if cookies or collected is None else {}


def _each_cookie(header: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of each cookie, as Starlette reads them: SimpleCookie gives up at the first odd one."""
    for pair in filter(str.strip, header.split(";")):
        name, sign, value = pair.partition("=")
        if not sign:
            name, value = "", pair
        yield name.strip(), SimpleCookie().value_decode(value.strip())[0]


def _from_wsgi(environ: Carrier) -> dict[str, Any]:
    options, is_forwarded = sentry_sdk.get_client().options, django.trusts_forwarded_host()
    found = wsgi_request(environ, options, is_forwarded=is_forwarded)
    if _WERKZEUG in environ:  # Flask has let go of its request when an answer goes on, or its teardown fails
        found |= _cookies(environ.get("HTTP_COOKIE", ""))
    return found


def _from_asgi(scope: Carrier) -> dict[str, Any]:
    if scope.get("type") not in ("http", "websocket"):
        return {}
    root = scope.get(FORCED_ROOT)
    found = asgi_request({**scope, "root_path": root} if root else scope)
    headers = [value for name, value in scope.get("headers") or () if name.lower() == b"cookie"]
    found |= _cookies(b"; ".join(headers).decode("latin-1"))
    return {**found, **_body(scope)}


def _from_span(attributes: Mapping[str, Any]) -> dict[str, Any]:
    method = attributes.get("http.request.method") or attributes.get("http.method")
    url = attributes.get("url.full") or attributes.get("http.url")
    if url is None and attributes.get("url.path"):
        scheme, host = attributes.get("url.scheme", "http"), attributes.get("server.address", "localhost")
        port = attributes.get("server.port")
        url = f"{scheme}://{host}{f':{port}' if port else ''}{attributes['url.path']}"
    query = attributes.get("url.query")
    found = {"method": method, "url": url, "query_string": query}
    return {key: value for key, value in found.items() if value}
