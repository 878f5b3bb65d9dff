"""ErrorTrackingMiddleware stands before an app: every attribute stays usable, and type checkers see the app itself."""

import asyncio
import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from slotel import ErrorTrackingMiddleware
from support.launch import clean_environ
from support.npm import installed
from support.once import CACHE


@pytest.fixture(autouse=True)
def _no_runtime(monkeypatch):
    """A call of the middleware would start slotel in this process, for all tests after it."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")


USES = """
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware

from slotel import ErrorTrackingMiddleware

app = Flask(__name__)
app = ErrorTrackingMiddleware(app)


@app.route("/")
def home() -> str:
    return "hello"


app.wsgi_app = ErrorTrackingMiddleware(app.wsgi_app)  # type: ignore[method-assign]
api = FastAPI()
api.add_middleware(ErrorTrackingMiddleware)
site = Starlette(middleware=[Middleware(ErrorTrackingMiddleware)])
site.add_middleware(ErrorTrackingMiddleware)
"""
"""As the documents print it, for each framework."""


def test_a_flask_app_is_used_after_the_wrapping_as_before():
    from flask import Flask

    app = ErrorTrackingMiddleware(Flask("shop"))

    @app.route("/")
    def home():
        return app.config["GREETING"]

    app.config["GREETING"] = "hello"
    app.secret_key = "s3cret"
    assert app.app.secret_key == "s3cret"
    assert app.test_client().get("/").text == "hello"
    del app.extensions
    assert not hasattr(app.app, "extensions")


def test_a_function_that_another_project_puts_in_place_of_its_call_is_called_and_calls_the_app(monkeypatch):
    """As sentry-sdk's integrations of Litestar and Starlette do with each middleware's class, before they make it."""
    original, calls = ErrorTrackingMiddleware.__call__, []
    assert original.__name__ == "__call__"

    async def patched(self, scope, receive, send):
        calls.append("patched")
        return await original(self, scope, receive, send)

    async def app(_scope, _receive, _send):
        calls.append("app")

    monkeypatch.setattr(ErrorTrackingMiddleware, "__call__", patched)
    asyncio.run(ErrorTrackingMiddleware(app)({"type": "lifespan"}, None, None))
    assert calls == ["patched", "app"]


def test_a_fastapi_app_is_used_after_the_wrapping_as_before():
    from fastapi import FastAPI

    app = ErrorTrackingMiddleware(FastAPI())

    @app.get("/")
    async def home():
        return {}

    app.state.ready = True
    assert "/" in {route.path for route in app.routes}
    assert asyncio.iscoroutinefunction(app.__call__)


def test_a_missing_attribute_is_the_apps_own_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ErrorTrackingMiddleware(lambda environ, start_response: []).nothing  # noqa: B018 asked for


class Plain:
    def __call__(self, environ, start_response):
        return []


def test_copying_and_pickling_do_not_run_in_circles():
    wrapped = ErrorTrackingMiddleware(Plain())
    for copied in (copy.copy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert type(copied) is type(wrapped)
        assert isinstance(copied.app, Plain)


def test_mypy_accepts_what_the_documents_print(tmp_path):
    """What it knows of the libraries is kept from run to run; it looks whether they have changed."""
    (tmp_path / "uses.py").write_text(USES)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(CACHE / "mypy"), "uses.py"]
    done = subprocess.run(mypy, cwd=tmp_path, env=clean_environ(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_pyright_accepts_what_the_documents_print(tmp_path):
    pyright = installed(Path(__file__).with_name("pyright")) / "node_modules/.bin/pyright"
    (tmp_path / "uses.py").write_text(USES)
    done = subprocess.run(
        [str(pyright), "--pythonpath", sys.executable, "uses.py"],
        cwd=tmp_path, env=clean_environ(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


class File:
    """What a server makes of a file that it sends itself; waitress's has no `fileno`."""


@pytest.mark.parametrize("body", [[b"12345"], (b"12345",), File()], ids=["list", "tuple", "file"])
def test_a_body_whose_class_or_length_the_server_reads_is_returned_as_it_is(body):
    def app(_environ, start_response):
        start_response("200 OK", [])
        return body

    middleware = ErrorTrackingMiddleware(app)
    answer = middleware({"REQUEST_METHOD": "GET", "wsgi.file_wrapper": File}, lambda *_: None)
    assert answer is body
