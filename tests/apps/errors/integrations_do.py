"""What sentry-sdk's integrations do beside errors: names in templates, methods without a transaction, a query left out."""

import json
import os
import sys
import tempfile
from pathlib import Path

import sentry_sdk

options = {"data_collection": {"url_query_params": {"mode": "off"}}} if sys.argv[2:] == ["private"] else {}
sentry_sdk.init(os.environ["SENTRY_DSN"], traces_sample_rate=1.0, **options)

import django  # noqa: E402
import flask  # noqa: E402
from django.conf import settings  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.templating import Jinja2Templates  # noqa: E402

TEMPLATE = "{{ sentry_trace_meta }}"
found = {}
app = flask.Flask("app")


@app.route("/page")
def page():
    return flask.render_template_string(TEMPLATE)


@app.route("/fails")
def fails():
    raise ValueError("fails")


client = app.test_client()
found["flask"] = client.get("/page").text
client.options("/page")
client.head("/page")
client.get("/fails?token=of-the-query")

with tempfile.TemporaryDirectory() as folder, sentry_sdk.start_transaction(name="rendering"):
    Path(folder, "page.html").write_text(TEMPLATE)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    found["starlette"] = Jinja2Templates(folder).TemplateResponse(Request(scope), "page.html").body.decode()
    settings.configure(
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [folder]}]
    )
    django.setup()
    from django.shortcuts import render

    found["django"] = render(None, "page.html").content.decode()

sentry_sdk.flush(30)
print(json.dumps({name: "sentry-trace" in html and "&lt;" not in html for name, html in found.items()}))
