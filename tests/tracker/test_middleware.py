"""ErrorTrackingMiddleware in real servers: it reports, raises again, and leaks nothing into the next request."""

import http.client
import sys
from collections import Counter

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, Launched, wait_until

CWD = APPS / "errors"
DJANGO = {"DJANGO_SETTINGS_MODULE": "django_settings", "APP_MIDDLEWARE": "slotel.ErrorTrackingMiddleware"}


WSGI = """
from slotel import ErrorTracker, ErrorTrackingMiddleware
ErrorTracker().init()
def app(environ, start_response):
    if environ["PATH_INFO"] == "/bad":
        raise ValueError("bad")
    start_response("200 OK", [])
    return [b"ok"]
app = ErrorTrackingMiddleware(app)
"""
ASGI = """
from slotel import ErrorTracker, ErrorTrackingMiddleware
ErrorTracker().init()
async def app(scope, receive, send):
    if scope["path"] == "/bad":
        raise ValueError("bad")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
app = ErrorTrackingMiddleware(app)
"""
DJANGO_SHOP = """
from slotel import ErrorTracker
ErrorTracker().init()
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"], SECRET_KEY="x", ROOT_URLCONF="shop", MIDDLEWARE=["slotel.ErrorTrackingMiddleware"]
)
from django.core.{protocol} import get_{protocol}_application
from django.http import HttpResponse
from django.urls import path
def good(request):
    return HttpResponse("ok")
def bad(request):
    raise ValueError("bad")
urlpatterns = [path("healthz", good), path("good", good), path("bad", bad)]
app = get_{protocol}_application()
"""
SERVERS = {
    "gunicorn": ("gunicorn", "-b", "127.0.0.1:{port}", "shop:app"),
    "uvicorn": ("uvicorn", "--lifespan", "off", "--port", "{port}", "shop:app"),
}
SHOPS = {
    "WSGI": ("gunicorn", WSGI),
    "ASGI": ("uvicorn", ASGI),
    "Django, WSGI": ("gunicorn", DJANGO_SHOP.format(protocol="wsgi")),
    "Django, ASGI": ("uvicorn", DJANGO_SHOP.format(protocol="asgi")),
}


class Tracked:
    def __init__(self, sink, service):
        self.sink = sink
        self.service = service

    def events(self, path):
        return [
            each
            for each in self.sink.payloads("event")
            if each.get("request", {}).get("url", "").endswith(path)
        ]

    def fail(self, path):
        before = len(self.events("/plain"))
        assert self.service.get(path)[0] == 500
        assert self.service.get("/plain")[0] == 500
        wait_until(lambda: len(self.events("/plain")) > before, "the next error")
        return self.events(path)


def serve(*command, launcher=False, **env):
    with SentrySink() as sink:
        variables = {"SENTRY_DSN": sink.dsn(7), "SENTRY_ENVIRONMENT": "live", **env}
        with Launched(sys.executable, *command, env=variables, cwd=CWD, launcher=launcher) as service:
            service.wait_ready()
            yield Tracked(sink, service)


@pytest.fixture(scope="module", params=["tracker_asgi.py", "tracker_wsgi.py"])
def bare(request):
    yield from serve(request.param)


@pytest.fixture(scope="module")
def django():
    yield from serve("django_app.py", "asgi", **DJANGO)


@pytest.fixture(scope="module")
def launched():
    yield from serve("tracker_wsgi.py", launcher=True)


def test_without_auto_instrumentation_an_error_is_one_event_that_knows_its_request(bare):
    (event,) = bare.fail("/error/red")
    assert event["exception"]["values"][-1]["value"] == "failed"
    assert event["exception"]["values"][-1]["mechanism"]["handled"] is False
    assert event["tags"]["team"] == "red"
    assert event["user"]["id"] == "7"
    assert event["environment"] == "live"
    assert event["request"]["method"] == "GET"


def test_tags_and_user_of_one_request_are_not_on_the_next(bare):
    bare.fail("/error/red")
    event = bare.events("/plain")[-1]
    assert "team" not in event["tags"]
    assert "id" not in event.get("user", {})


def test_errors_are_counted_without_auto_instrumentation_too(bare):
    bare.fail("/error/counted")

    def counted():
        return bare.service.sample("sentry_errors_total", project="7", environment="live")

    wait_until(lambda: len(bare.sink.payloads("event")) == counted(), "as many are counted as arrive")


def test_a_tracked_request_counts_for_the_objectives(bare):
    before = bare.service.sample("slo_events_total", slo_outcome="good")
    assert bare.service.get("/tracked") == (200, "ok")
    wait_until(
        lambda: bare.service.sample("slo_events_total", slo_outcome="good") == before + 1, "it is counted"
    )
    assert bare.service.sample(
        "traces_span_metrics_calls_total", span_name="GET /tracked", span_kind="SPAN_KIND_SERVER"
    )


@pytest.mark.parametrize("launcher", [False, True], ids=["code", "auto-instrumentation"])
@pytest.mark.parametrize(("server", "shop"), SHOPS.values(), ids=SHOPS)
def test_a_server_that_was_loading_the_app_when_slotel_started_counts_as_one_that_came_later(
    server, shop, launcher, tmp_path
):
    """gunicorn and uvicorn load the app in the call that is patched; the oracle is what the client saw."""
    (tmp_path / "shop.py").write_text(shop)
    with Launched(*SERVERS[server], env={}, cwd=tmp_path, launcher=launcher) as service:
        service.wait_ready()
        statuses = Counter(service.get(path)[0] for path in ("/good", "/good", "/bad", "/good"))
        assert statuses == {200: 3, 500: 1}
        wait_until(lambda: service.sample("slo_events_total", slo_outcome="bad") == 1, "the failure")
        counted = service.sample("slo_events_total", slo_outcome="good")
    assert counted == 3


def test_under_auto_instrumentation_it_is_still_one_event(launched):
    (event,) = launched.fail("/error/red")
    assert event["tags"]["team"] == "red"


def test_in_djangos_middleware_an_error_is_one_event(django):
    (event,) = django.fail("/error/red")
    assert event["exception"]["values"][-1]["mechanism"]["type"] == "django"
    assert django.service.get("/missing")[0] == 404
    django.fail("/error/blue")
    assert django.events("/missing") == []


def test_an_error_while_the_body_is_sent_is_one_event(launched):
    with pytest.raises((http.client.IncompleteRead, OSError)):
        launched.service.get("/body")
    wait_until(lambda: launched.events("/body"), "the event")
    launched.fail("/plain")
    assert len(launched.events("/body")) == 1
