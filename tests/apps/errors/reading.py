"""Answers one failing request in its own process: of a Flask app, or of a Django app whose view has read a part of the body.

With plain sentry-sdk or with slotel; the Django app calls `sentry_sdk.init` itself. Prints which of Django's modules were imported.
"""

import io
import os
import sys

import sentry_sdk

KIND = sys.argv[1]
if KIND == "django":
    is_2 = "send_default_pii" in sentry_sdk.consts.DEFAULT_OPTIONS
    told = {"send_default_pii": True} if is_2 else {"data_collection": {"user_info": True}}
    sentry_sdk.init(os.environ["SENTRY_DSN"], **told)
ENVIRON = {
    "REQUEST_METHOD": "POST", "PATH_INFO": "/é€".encode().decode("latin-1"), "SERVER_NAME": "shop", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "shop", "HTTP_X_FORWARDED_HOST": "public.test", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_COOKIE": "colour=red", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "9", "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
    "wsgi.input": io.BytesIO(b"some text"), "wsgi.errors": sys.stderr, "wsgi.multithread": False,
    "wsgi.multiprocess": False, "wsgi.run_once": False,
}  # fmt: skip


def flask():
    from flask import Flask

    app = Flask("shop")
    app.post("/é€")(lambda: 1 / 0)
    return app


def django():
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.urls import path

    def fail(request):
        request.read(4)
        return 1 / 0

    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", USE_X_FORWARDED_HOST=True)
    globals()["urlpatterns"] = [path("é€", fail)]
    return get_wsgi_application()


answer = {"flask": flask, "django": django}[KIND]()(ENVIRON, lambda *_: None)
list(answer)
answer.close()
sentry_sdk.flush(30)
print(*sorted(name for name in sys.modules if name.partition(".")[0] == "django"))
