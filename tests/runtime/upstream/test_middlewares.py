"""An app that puts OpenTelemetry's middleware around itself by hand: each request has its route, and is measured once."""

import re
import sys

import pytest

from support.launch import Launched, wait_until

FLASK = """
import os
from flask import Flask
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from waitress import serve
app = Flask("app")
app.add_url_rule("/items/<int:number>", "item", lambda number: str(number))
app.add_url_rule("/fail", "fail", lambda: 1 / 0)
{around}
serve(app, port=int(os.environ["PORT"]))
"""
FASTAPI = """
import os, uvicorn
from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
app = FastAPI()
app.get("/items/{number}")(lambda number: number)
app.get("/fail")(lambda: 1 / 0)
{around}
uvicorn.run(app, port=int(os.environ["PORT"]), log_level="critical")
"""
DJANGO = """
import os
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("items/<int:number>", lambda request, number: HttpResponse(number)), path("fail", lambda _: 1 / 0)]
settings.configure(ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None)
from django.core.wsgi import get_wsgi_application
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from waitress import serve
app = get_wsgi_application()
{around}
serve(app, port=int(os.environ["PORT"]))
"""
AROUND = "app = OpenTelemetryMiddleware(app)"
SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")


def counts(service, name):
    """How many requests a metric has, by route and status."""
    found = {}
    for line in service.scrape().splitlines():
        sample = SAMPLE.fullmatch(line)
        if sample and sample[1] == name and "SPAN_KIND_INTERNAL" not in line:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', sample[2]))
            key = labels.get("http_route"), labels.get("http_response_status_code")
            found[key] = found.get(key, 0) + float(sample[3])
    return {key: count for key, count in found.items() if count}


@pytest.mark.parametrize(
    ("app", "around", "items"),
    [
        (FLASK, AROUND, "/items/<int:number>"),
        (FLASK, "app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app)", "/items/<int:number>"),
        (FLASK, f"app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app); {AROUND}", "/items/<int:number>"),
        (FASTAPI, AROUND, "/items/{number}"),
        (FASTAPI, "app.add_middleware(OpenTelemetryMiddleware)", "/items/{number}"),
        (DJANGO, AROUND, "items/<int:number>"),
    ],
    ids=["flask", "flask inside", "flask twice", "fastapi", "fastapi inside", "django"],
)
def test_a_middleware_around_the_app_leaves_each_request_its_route_and_one_measurement(app, around, items):
    sent = {(items, "200"): 3, (items.partition("items")[0] + "fail", "500"): 1, (None, "404"): 1}
    names = "traces_span_metrics_calls_total", "http_server_request_duration_seconds_count"
    with Launched(sys.executable, "-c", app.replace("{around}", around)) as service:
        service.wait_ready("/items/0")
        for path in ("/items/1", "/items/2", "/fail", "/nowhere"):
            service.get(path)
        wait_until(
            lambda: all(sum(counts(service, name).values()) >= sum(sent.values()) for name in names),
            "every request is measured",
        )
        assert [counts(service, name) for name in names] == [sent, sent]


AGAIN = """
from flask import request
def again(path):
    request.environ["PATH_INFO"] = path
    with app.request_context(request.environ):
        return app.full_dispatch_request()
app.add_url_rule("/old/<int:number>", "old", lambda number: again(f"/items/{number}"))
app.add_url_rule("/worse", "worse", lambda: again("/fail"))
"""


def test_a_request_that_the_app_serves_once_more_is_what_its_answer_is():
    with Launched(sys.executable, "-c", FLASK.replace("{around}", AGAIN)) as service:
        service.wait_ready("/items/0")
        assert [service.get(path)[0] for path in ("/old/1", "/old/2", "/worse")] == [200, 200, 500]
        wait_until(lambda: sum(outcomes(service).values()) >= 4, "every request is measured")
        assert outcomes(service) == {"good": 3, "bad": 1}


def outcomes(service):
    """How many events are good and bad."""
    found = re.findall(r'slo_events_total\{.*slo_outcome="(good|bad)".*\} (\S+)', service.scrape())
    return {outcome: float(count) for outcome, count in found}
