"""Django's instrumentation puts the client's own method into the name of a span; names must have a bound."""

import subprocess
import sys

from support.launch import clean_environ

SCRIPT = """
import os
import slotel.runtime.bootstrap
runtime = slotel.runtime.bootstrap.start(os.environ)
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
urlpatterns = [path("", lambda request: HttpResponse("ok")), path("items", lambda request: HttpResponse("ok"))]
from opentelemetry.instrumentation.django import DjangoInstrumentor
from slotel.runtime.upstream.otel.instrumentations import patch_instrumentation
DjangoInstrumentor().instrument()
patch_instrumentation("django")
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory
application = get_wsgi_application()
for method in ("GET", "PROPFIND", *(f"SCAN{number}" for number in range(50))):
    for address in ("/", "/items"):
        environ = RequestFactory().generic(method, address).environ
        b"".join(application(environ, lambda status, headers: None))
family = next(family for family in runtime.store.snapshot() if family.name == "traces_span_metrics_duration_seconds")
print(sorted({dict(zip(family.label_names, labels))["span_name"] for labels in family.series}))
"""


def test_methods_that_nobody_knows_share_a_name():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=clean_environ(
            OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none", OTEL_SEMCONV_STABILITY_OPT_IN="http"
        ),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["['GET /', 'GET items', 'HTTP /', 'HTTP items']"], done.stderr
