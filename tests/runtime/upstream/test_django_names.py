"""Names of Django's requests: the route by which they are answered, with a method that has a bound."""

import json
import subprocess
import sys

from support.launch import clean_environ

START = """
import json, os
import slotel.runtime.bootstrap
runtime = slotel.runtime.bootstrap.start(os.environ)
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpResponse
from django.urls import path
class Elsewhere:
    urlpatterns = [path("<slug:page>", lambda request, page: HttpResponse("ok"))]
def hosts(get_response):
    def middleware(request):
        if request.get_host() == "pages.example":
            request.urlconf = Elsewhere
        return get_response(request)
    return middleware
settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", LANGUAGES=[("en", "English"), ("de", "Deutsch")],
    MIDDLEWARE=["__main__.hosts", "django.middleware.locale.LocaleMiddleware"],
)
ok = lambda request, **_: HttpResponse("ok")
urlpatterns = [path("", ok, name="home"), path("items", ok), *i18n_patterns(path("shop/<int:number>", ok))]
from opentelemetry.instrumentation.django import DjangoInstrumentor
from slotel.runtime.upstream.otel.instrumentations.instrumentors import patch_instrumentation
DjangoInstrumentor().instrument({hook})
patch_instrumentation("django")
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory
application = get_wsgi_application()
def ask(method, address, **environ):
    environ = RequestFactory().generic(method, address, **environ).environ
    b"".join(application(environ, lambda status, headers: None))
"""
END = """
family = next(family for family in runtime.store.snapshot() if family.name == "traces_span_metrics_duration_seconds")
labels = [dict(zip(family.label_names, labels)) for labels in family.series]
print(json.dumps(sorted([each["span_name"], each["http_route"]] for each in labels)))
"""


def names(requests, hook=""):
    """The names and routes of requests to an app in English, German and, on a host of its own, with other URLs."""
    done = subprocess.run(
        [sys.executable, "-c", START.replace("{hook}", hook) + requests + END],
        env=clean_environ(
            OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none", OTEL_SEMCONV_STABILITY_OPT_IN="http"
        ),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout.splitlines()[-1])]


def test_methods_that_nobody_knows_share_a_name():
    requests = """
for method in ("GET", "PROPFIND", *(f"SCAN{number}" for number in range(50))):
    for address in ("/", "/items"):
        ask(method, address)
"""
    assert names(requests) == [
        ("GET /", "/"),
        ("GET items", "items"),
        ("HTTP /", "/"),
        ("HTTP items", "items"),
    ]


def test_a_request_in_another_language_is_named_by_its_route():
    requests = """
for _ in range(2):
    for language in ("de", "en"):
        ask("GET", f"/{language}/shop/3")
"""
    routes = ["de/shop/<int:number>", "en/shop/<int:number>"]
    assert names(requests) == [(f"GET {route}", route) for route in routes]


def test_a_request_whose_middleware_chose_other_urls_is_named_by_its_route():
    requests = """
for page in ("items", "about"):
    ask("GET", f"/{page}", HTTP_HOST="pages.example")
"""
    assert names(requests) == [("GET <slug:page>", "<slug:page>")]


def test_a_request_for_which_a_middleware_runs_all_middlewares_again_is_one_request_by_its_route():
    requests = """
from django.core.handlers.base import BaseHandler
class Slashes:
    def __init__(self, get_response):
        self.get_response, self.again = get_response, None
    def __call__(self, request):
        answer = self.get_response(request)
        if answer.status_code == 404 and self.again is None:
            self.again = BaseHandler()
            self.again.load_middleware()
        if answer.status_code == 404 and request.path_info != "/items":
            request.path = request.path_info = "/items"
            answer = self.again.get_response(request)
        return answer
settings.MIDDLEWARE = [*settings.MIDDLEWARE, "__main__.Slashes"]
application = get_wsgi_application()
for address in ("/item", "/items", "/item"):
    ask("GET", address)
events = next(family for family in runtime.store.snapshot() if family.name == "slo_events")
good = [value[0] for labels, value in events.series.items() if "good" in labels]
assert good == [3], events.series
"""
    assert names(requests) == [("GET items", "items")]


def test_a_name_that_the_app_gave_stays():
    requests = """
ask("GET", "/items")
ask("GET", "/de/shop/3")
"""
    hook = "request_hook=lambda span, request: span.update_name('shop' if 'shop' in request.path else 'GET mine')"
    assert names(requests, hook) == [("GET mine", "items"), ("shop", "de/shop/<int:number>")]
