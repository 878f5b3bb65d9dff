"""A web framework's instrumentation waits until the app imports it; the class that the app gets is instrumented."""

import subprocess
import sys

import pytest

from slotel.runtime.setup.instrumentations import WAIT
from support.launch import LAUNCHER, clean_environ


def launched(code, **env):
    done = subprocess.run(
        [str(LAUNCHER), sys.executable, "-c", code],
        env=clean_environ(OTEL_METRICS_EXPORTER="none", **env),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip(), done.stderr


def test_what_waits_for_the_app_to_import_it_is_not_imported():
    roots = {module.partition(".")[0] for module in WAIT.values()}
    assert launched(f"import sys; print(sorted({roots!r} & sys.modules.keys()))")[0] == "[]"


@pytest.mark.parametrize(
    "code", ["import celery", "from celery import Celery", "from celery.app import app_or_default"]
)
def test_celery_is_instrumented_when_the_app_imports_it(code):
    code += "; from celery.signals import task_prerun; print(task_prerun.receivers)"
    assert "CeleryInstrumentor._trace_prerun" in launched(code)[0]


def test_requests_is_instrumented_when_the_app_imports_it():
    assert launched("from requests import Session; print(hasattr(Session.send, '__wrapped__'))")[0] == "True"


@pytest.mark.parametrize(
    "code",
    [
        "from flask import Flask as App",
        "import flask; App = flask.Flask",
        "from fastapi import FastAPI as App",
        "import fastapi.responses; App = fastapi.FastAPI",
    ],
)
def test_an_imported_framework_is_instrumented_before_the_app_has_it(code):
    assert launched(f"{code}; print(App.__module__)")[0].startswith("opentelemetry.instrumentation.")


def test_a_framework_whose_instrumentation_is_disabled_stays_as_it_is():
    code = "from flask import Flask; print(Flask.__module__)"
    assert launched(code, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask")[0] == "flask.app"


def test_an_instrumentation_that_fails_late_is_named_and_the_import_goes_on(tmp_path):
    (tmp_path / "broken.py").write_text("raise RuntimeError('on purpose')")
    code = (
        "import importlib.metadata as m\n"
        "from slotel.runtime.distro import SlotelDistro\n"
        "point = m.EntryPoint('starlette', 'broken:X', 'opentelemetry_instrumentor')\n"
        "SlotelDistro().load_instrumentor(point)\n"
        "import starlette; print(starlette.__name__)"
    )
    out, log = launched(code, PYTHONPATH=str(tmp_path))
    assert out == "starlette"
    assert (
        "ERROR slotel: instrumentation starlette failed and is disabled, everything else works: on purpose"
        in log
    )


@pytest.mark.parametrize("exporter", ["", "none", "console"])
def test_a_warning_of_an_app_without_logging_stays_on_standard_error_unless_logs_are_shipped(exporter):
    """Python's last resort writes it, as long as no handler stands on the root logger."""
    code = "import logging; logging.getLogger('app').warning('stock is low')"
    env = {"OTEL_LOGS_EXPORTER": exporter} if exporter else {}
    shipped, errors = launched(code, **env)
    assert ("stock is low" in errors, "stock is low" in shipped) == (
        exporter != "console",
        exporter == "console",
    )


FLASK = """
from flask import Flask, request
from opentelemetry import trace
app = Flask("app")
@app.get("/<path>")
def view(path):
    return f"{trace.get_current_span().is_recording()} {'url' in vars(request._get_current_object())}"
for path in ("/seen", "/left"):
    print(app.test_client().get(path).text, end="; ")
"""


def test_without_excluded_urls_flask_builds_no_requests_url():
    assert launched(FLASK)[0] == "True False; True False;"


@pytest.mark.parametrize("variable", ["OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS"])
def test_an_excluded_url_of_flask_stays_excluded(variable):
    assert launched(FLASK, **{variable: "/left"})[0] == "True True; False True;"
