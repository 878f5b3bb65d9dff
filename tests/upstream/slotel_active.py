"""A pytest plugin for other projects' suites: slotel is active in the process that runs them.

SLOTEL_UPSTREAM_MODE=start starts slotel as opentelemetry-instrument does. `adopt` does that and makes slotel adopt every TracerProvider that
a test constructs, which a service's launcher does with the one provider of the service. `dsn` is for sentry-sdk's suites: slotel
has a DSN, so it takes over the Sentry client of each test, the frameworks are instrumented as opentelemetry-instrument does it, and
test clients call an application as servers do: through slotel's layer.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Generator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

MODE = os.environ.pop("SLOTEL_UPSTREAM_MODE", "off")
ONLY = set(json.loads(os.environ.pop("SLOTEL_UPSTREAM_ONLY", "[]")))
"""Names of the tests that are run; of others with the same name, too. None: all."""
RUNNING_FILE = os.environ.pop("SLOTEL_UPSTREAM_RUNNING", os.devnull)
"""The file that names the test which runs: `run.py` ends the process where one stays there for too long."""
LISTENER = os.environ.pop("SLOTEL_UPSTREAM_DSN", "http://key@127.0.0.1:9/1")
"""The DSN of a sink that takes everything: the tests look into their own transports, and what is not theirs must not wait to be sent."""
_WITH_DSN = {
    "SENTRY_DSN": LISTENER,
    "SENTRY_TRACES_SAMPLE_RATE": "1",
    "SLOTEL_CONFIG": str(Path(__file__).with_name("sentry.yaml")),
    "OTEL_TRACES_EXPORTER": "none",
}


def _serve_in_test_clients() -> None:
    """Have test clients call the application through the layer that slotel puts around it in servers."""
    from slotel.runtime.upstream import servers

    clients = (
        servers.Place("werkzeug.test", "Client", "__init__", "application", "wsgi", "a test calls it as a server does"),
        servers.Place("starlette.testclient", "_TestClientTransport", "__init__", "app", "asgi", "the same"),
        servers.Place("async_asgi_testclient.testing", "TestClient", "__init__", "application", "asgi", "the same"),
    )  # fmt: skip
    servers._PROBES.update({place: place.probe() for place in clients})

    from werkzeug.test import Client

    answer = Client.run_wsgi_app
    # a server reads an answer to its end and closes it
    Client.run_wsgi_app = lambda its, environ, buffered=True: answer(its, environ, True)  # type: ignore[method-assign]


def _adopt_every_provider() -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from support.adopted import runtime_around

    construct = TracerProvider.__init__

    @functools.wraps(construct)
    def adopted(self: TracerProvider, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        if type(self) is TracerProvider:
            runtime_around(self)

    TracerProvider.__init__ = adopted  # type: ignore[method-assign]


def pytest_sessionstart() -> None:
    """Start slotel before the tests are collected; after conftest.py: sentry-sdk's own asks to be its first import."""
    if MODE not in {"start", "adopt", "dsn"}:
        return
    before = dict(os.environ)
    os.environ.update(OTEL_METRICS_EXPORTER="none", SLOTEL_HANDLE_SIGTERM="false")
    if MODE == "dsn":
        os.environ.update(_WITH_DSN)
        _serve_in_test_clients()
    from slotel.runtime.bootstrap import start
    from slotel.runtime.distro import SlotelDistro

    distro = SlotelDistro()
    if MODE == "dsn":
        distro.configure()
    start(os.environ)
    if MODE == "dsn":
        from slotel.runtime.state import RUNNING

        if RUNNING[0].sentry is None:
            pytest.exit("slotel did not start its Sentry component: the suite would prove nothing", 3)
        for entry_point in entry_points(group="opentelemetry_instrumentor"):
            distro.load_instrumentor(entry_point, skip_dep_check=True)
    for name in set(os.environ) - set(before):
        del os.environ[name]  # suites assert on a clean environment
    if MODE == "adopt":
        _adopt_every_provider()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Leave out what is not asked for."""
    if ONLY:
        config.hook.pytest_deselected(items=[each for each in items if each.name not in ONLY])
        items[:] = [each for each in items if each.name in ONLY]


# -- what sentry-sdk's tests see of slotel's transactions ----------------------------------------------------------


class Captured(list[Any]):
    """What a test captures, flushed before each look: slotel sends transactions from a thread of its own.

    Args:
        behind: the list that the suite's own fixture fills.
        traced: whether the test has asked for transactions: slotel makes them in any case.
    """

    def __init__(self, behind: list[Any], traced: bool) -> None:
        super().__init__()
        self._behind = behind
        self._traced = traced

    def _look(self) -> None:
        from slotel.runtime.state import RUNNING

        told = len(self._behind)
        RUNNING[0].flush(5)
        new, self._behind[:] = list(self._behind), []
        flushed = [
            each for each in new[told:] if not _is(each, "sessions")
        ]  # those come when the test flushes
        self.extend(each for each in (*new[:told], *flushed) if self._traced or not _is(each, "transaction"))


def _looking(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def look(self: Captured, *given: Any) -> Any:
        self._look()
        return method(self, *given)

    return look


for _name in ("__len__", "__iter__", "__getitem__", "__eq__", "__contains__", "pop", "clear"):
    setattr(Captured, _name, _looking(_name))


def _is(captured: Any, wanted: str) -> bool:
    kinds = captured if hasattr(captured, "items") and not isinstance(captured, dict) else [captured]
    for each in kinds:
        kind = each.get("type") if isinstance(each, dict) else getattr(each, "type", None)
        if kind == wanted:
            return True
    return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Begin each test outside of every span, some leave one open; what one leaves to be sent is not the next one's."""
    from opentelemetry import context

    Path(RUNNING_FILE).write_text(item.nodeid)
    token = context.attach(context.Context())
    try:
        return (yield)
    finally:
        context.detach(token)
        if MODE == "dsn":
            from slotel.runtime.state import RUNNING

            RUNNING[0].flush(1)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    """Put `Captured` around what the suite's fixtures capture."""
    made = yield
    if MODE == "dsn" and fixturedef.argname == "sentry_init":

        def init(*given: Any, **options: Any) -> Any:
            asked = ("traces_sample_rate", "traces_sampler", "enable_tracing")
            request.node._traced = any(options.get(name) for name in asked)
            if not given:
                options.setdefault("dsn", LISTENER)  # slotel takes no part in a client that sends nowhere
                options.setdefault(
                    "auto_session_tracking", True
                )  # plain's default, which slotel leaves to the app
            experiments = options.get("_experiments") or {}
            if "stream" in (options.get("trace_lifecycle"), experiments.get("trace_lifecycle")):
                request.node.user_properties.append(("asks for", "streamed spans"))
            return made(*given, **options)

        fixturedef.cached_result = (init, *fixturedef.cached_result[1:])
        return init
    if MODE == "dsn" and fixturedef.argname in {"capture_events", "capture_items", "capture_envelopes"}:

        def capture(*given: Any, **options: Any) -> Captured:
            return Captured(made(*given, **options), getattr(request.node, "_traced", False))

        fixturedef.cached_result = (capture, *fixturedef.cached_result[1:])
        return capture
    return made
