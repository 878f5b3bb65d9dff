"""Requests to a host that Django does not allow: of a view that does not ask for the host, and of one that does."""

import json

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from werkzeug.test import Client

urlpatterns = [
    path("quiet/<number>", lambda request, number: HttpResponse("ok")),
    path("asks/<number>", lambda request, number: HttpResponse(request.get_host())),
]


def fails(request, number):
    raise ValueError("fails")


urlpatterns.append(path("fails/<number>", fails))
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["shop.example"],
    LOGGING_CONFIG=None,
    DEBUG_PROPAGATE_EXCEPTIONS=False,
)
client = Client(get_wsgi_application())
found = [
    client.get(f"/{view}/7", base_url=f"http://{host}").status_code
    for view in ("quiet", "asks", "fails")
    for host in ("10.0.0.1", "shop.example")
]
try:
    import sentry_sdk

    sentry_sdk.flush(30)
finally:
    print(json.dumps(found))
