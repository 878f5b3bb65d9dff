"""The request that an error event shows: read from the WSGI environ or ASGI scope when there is an error, not before.

What may be shown (cookies, addresses, bodies) is decided by sentry-sdk and its settings: its own readers do the work.
They are private names of sentry-sdk; where a release lacks them, method and URL come from the span instead.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from http.cookies import SimpleCookie
from typing import Any, Final, TypeAlias

import sentry_sdk
from sentry_sdk._types import AnnotatedValue
from sentry_sdk.integrations._wsgi_common import request_body_within_bounds

from slotel.runtime.upstream.django import current_request
from slotel.runtime.upstream.starlette import BODY, FORM

LOG: Final = logging.getLogger("slotel")

Carrier: TypeAlias = MutableMapping[str, Any]
"""A WSGI environ, or an ASGI scope."""
_DETAILS: Final = frozenset({"data", "cookies"})


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
        attributes: of the entry span, for what the carrier does not give.
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
    found = {**_from_span(attributes), **found}
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
    from sentry_sdk.integrations import flask as sentry_flask

    sentry_flask.FlaskRequestExtractor(flask.request).extract_into_event(event)
    if may_tell("user_info"):
        sentry_flask._add_user_to_event(event)  # noqa: SLF001 see the module's first lines


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
        return {"data": {key: value if isinstance(value, str) else _removed() for key, value in form.items()}}
    if not body:
        return {}
    if not request_body_within_bounds(sentry_sdk.get_client(), len(body)):
        return {"data": AnnotatedValue.removed_because_over_size_limit()}
    kinds = [value for name, value in scope.get("headers") or () if name.lower() == b"content-type"]
    if kinds and b"json" in kinds[0]:
        try:
            return {"data": json.loads(body)}
        except ValueError:
            return {"data": _removed()}
    return {"data": _removed()}


def _removed() -> Any:
    return AnnotatedValue.removed_because_raw_data()


def _from_wsgi(environ: Carrier) -> dict[str, Any]:
    from sentry_sdk.integrations.wsgi import _make_wsgi_event_processor

    event: Any = _make_wsgi_event_processor(environ, use_x_forwarded_for=False)({}, {})  # type: ignore[arg-type]  # an environ
    return {**event.get("request", {}), "user": (event.get("user") or {}).get("ip_address")}


def _from_asgi(scope: Carrier) -> dict[str, Any]:
    from sentry_sdk.integrations import _asgi_common as common

    if scope.get("type") not in ("http", "websocket"):
        return {}
    read: Any = common._get_request_data  # noqa: SLF001 see the module's first lines
    paths = getattr(common, "_RootPathInPath", None)
    found = dict(read(scope) if paths is None else read(scope, root_path_in_path=paths.EXCLUDED))
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
