"""The request that an error event shows: read from the WSGI environ or ASGI scope when there is an error, not before.

What may be shown (cookies, addresses, bodies) is decided by sentry-sdk and its settings: its own readers do the work.
Where a release lacks them, method and URL come from the span instead.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from http.cookies import SimpleCookie
from typing import Any, Final, TypeAlias

import sentry_sdk

from slotel.runtime.upstream.django import current_request
from slotel.runtime.upstream.sentry.sdk import (
    add_flask_user,
    asgi_request,
    fits_in_event,
    removed_body,
    wsgi_request,
)
from slotel.runtime.upstream.starlette import BODY, FORM

LOG: Final = logging.getLogger("slotel")

Carrier: TypeAlias = MutableMapping[str, Any]
"""A WSGI environ, or an ASGI scope."""
_DETAILS: Final = frozenset({"data", "cookies"})
_BODIES: Final = frozenset({"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"})
"""A request of HTTP/1 without both has no body. Source: RFC 9112, section 6.3."""


class RequestProcessor:
    """An event processor that adds one request to the events of its scope."""

    __slots__ = ("_carrier",)

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def __call__(self, event: Any, hint: Any) -> Any:
        """Complete an error event's `request`."""
        del hint
        if event.get("type") is None:
            add_request(event, self._carrier, {})
        return event


def add_request(event: Any, carrier: Carrier | None, attributes: Mapping[str, Any]) -> None:
    """Complete the event's `request` with what it lacks.

    Args:
        attributes: of the local root, for what the carrier does not give.
    """
    found: dict[str, Any] = {}
    try:
        if carrier is not None:
            found = wsgi_request(carrier) if "REQUEST_METHOD" in carrier else _from_asgi(carrier)
    except Exception:  # noqa: BLE001 another sentry-sdk: the span's attributes say the most important
        found = {}
    user = found.pop("user", None)
    if user:
        event.setdefault("user", {}).setdefault("ip_address", user)
    found = found or _from_span(attributes)  # what sentry-sdk leaves out is not to be shown
    if found:
        event["request"] = {**found, **(event.get("request") or {})}


def add_framework_data(event: Any) -> None:
    """Add body, cookies and user of the request that is served here, as the framework has read them.

    On the thread of the request only: what the app has not read of a body may be read here.
    """
    for add in (_add_flask, _add_django, _add_celery):
        try:
            add(event)
        except Exception as error:  # noqa: BLE001 an event without these details is better than none
            LOG.debug("a request's details are missing in an event: %s", error)


def may_tell(what: str) -> bool:
    """Whether the app's Sentry settings let personal data of this kind out."""
    options = sentry_sdk.get_client().options
    collected = options.get("data_collection")
    if isinstance(collected, dict) and (
        collected.get("provided_by_user") or "send_default_pii" not in options
    ):
        return bool(collected.get(what))
    return bool(options.get("send_default_pii"))


def _has_details(event: Any) -> bool:
    return not _DETAILS.isdisjoint(event.get("request") or ())


def _add_flask(event: Any) -> None:
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_request_context() or _has_details(event):
        return
    environ = flask.request.environ
    is_http_1 = environ.get("SERVER_PROTOCOL", "").startswith("HTTP/1.")
    if is_http_1 and _BODIES.isdisjoint(environ) and not may_tell("cookies"):
        event.setdefault("request", {})  # as the extractor leaves it, which looks for a body in four ways
    else:
        from sentry_sdk.integrations.flask import FlaskRequestExtractor

        FlaskRequestExtractor(flask.request).extract_into_event(event)
    if may_tell("user_info"):
        add_flask_user(event)


def _add_django(event: Any) -> None:
    request = current_request()
    if request is None or _has_details(event):
        return
    from sentry_sdk.integrations.django import DjangoRequestExtractor

    DjangoRequestExtractor(request).extract_into_event(event)
    if may_tell("user_info"):
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            known = event.setdefault("user", {})
            known.setdefault("id", str(user.pk))
            known.setdefault("username", user.get_username())
            if getattr(user, "email", None):
                known.setdefault("email", user.email)


def _add_celery(event: Any) -> None:
    celery = sys.modules.get("celery")
    task = celery.current_task if celery is not None else None
    if not task or not task.request.id:
        return
    event.setdefault("tags", {}).setdefault("celery_task_id", str(task.request.id))
    job: dict[str, Any] = {"task_name": task.name}
    if may_tell("queues"):
        job.update(args=task.request.args, kwargs=task.request.kwargs)
    event.setdefault("extra", {}).setdefault("celery-job", job)


def _body(scope: Carrier) -> dict[str, Any]:
    """Return the body of an ASGI request, as far as the app has read it; what is no JSON or form is only noted."""
    form, body = scope.get(FORM), scope.get(BODY)
    if form:
        return {
            "data": {key: value if isinstance(value, str) else removed_body() for key, value in form.items()}
        }
    if not body:
        return {}
    if not fits_in_event(len(body)):
        return {"data": removed_body(is_too_large=True)}
    kinds = [value for name, value in scope.get("headers") or () if name.lower() == b"content-type"]
    if kinds and b"json" in kinds[0]:
        try:
            return {"data": json.loads(body)}
        except ValueError:
            return {"data": removed_body()}
    return {"data": removed_body()}


def _from_asgi(scope: Carrier) -> dict[str, Any]:
    if scope.get("type") not in ("http", "websocket"):
        return {}
    found = asgi_request(scope)
    if may_tell("cookies"):
        cookies = [value for name, value in scope.get("headers") or () if name.lower() == b"cookie"]
        parsed = SimpleCookie(b"; ".join(cookies).decode("latin-1")) if cookies else {}
        found["cookies"] = {name: morsel.value for name, morsel in parsed.items()}
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
