"""sentry-sdk is imported without gevent and httpcore, and does with them what it does when it has imported them itself."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

OPTIONAL = ("eventlet", "gevent", "greenlet", "h11", "h2", "httpcore", "anyio")
PLAIN = "import sentry_sdk"
LEAN = "from slotel.runtime.upstream.sentry.optional import import_sentry; import_sentry()"


def said(*lines: str) -> object:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(("import json, sys", *lines))],
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def both(*lines: str) -> object:
    """What a program says with the sentry-sdk that slotel imports: as with plain sentry-sdk."""
    plain, lean = (said(first, *lines) for first in (PLAIN, LEAN))
    assert lean == plain
    return lean


def test_none_of_them_is_imported():
    there = f"print(json.dumps([each for each in {OPTIONAL} if each in sys.modules]))"
    assert said(LEAN, there) == []
    assert {"gevent", "httpcore"} <= set(said(PLAIN, there))


def test_a_service_imports_none_of_them_at_its_start():
    environ = {
        **os.environ,
        "SENTRY_DSN": "http://key@127.0.0.1:9/1",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_TRACES_EXPORTER": "none",
    }
    code = "import os; from slotel.runtime.bootstrap import start; assert start(os.environ).sentry"
    there = f"import sys; print([each for each in {OPTIONAL} if each in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {there}"],
        env=environ, capture_output=True, text=True, check=True, timeout=170,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


def test_a_patching_that_comes_later_is_seen():
    told = both(
        "from sentry_sdk import utils",
        "before = utils.is_gevent()",
        "from gevent import monkey, get_hub; monkey.patch_all()",
        "meta = utils.get_current_thread_meta()",
        "print(json.dumps([before, utils.is_gevent(), utils.get_gevent_hub() is get_hub(),"
        " meta == (get_hub().thread_ident, None), getattr(utils, 'HAS_REAL_CONTEXTVARS', True)]))",  # 3 needs them
    )
    assert told == [False, True, True, True, True]


def test_a_patching_that_came_before_is_seen():
    patched = "from gevent import monkey; monkey.patch_all()"
    asked = "from sentry_sdk import utils; print(json.dumps([utils.is_gevent(), utils.is_module_patched.__module__]))"
    assert said(patched, LEAN, asked) == said(patched, PLAIN, asked) == [True, "gevent.monkey._state"]


def test_profilers_get_threads_of_gevent():
    both(
        "from sentry_sdk import profiler",
        "from gevent import monkey; monkey.patch_all()",
        "from gevent.threadpool import ThreadPool",
        "names = ('continuous_profiler', 'transaction_profiler')",  # 3 has one profiler
        "modules = [getattr(profiler, name) for name in names if hasattr(profiler, name)]",
        "print(json.dumps([isinstance(each.ThreadPool(1), ThreadPool) for each in modules]"
        " + [each.thread_sleep is monkey.get_original('time', 'sleep') for each in modules]))",
    )


def test_transports_that_need_httpcore_have_it():
    told = both(
        "from sentry_sdk import transport",
        "told = [transport.HTTP2_ENABLED, transport.ASYNC_TRANSPORT_AVAILABLE, transport.Http2Transport.__mro__[1].__name__]",
        "from sentry_sdk.client import _Client",
        "import asyncio",
        "async def main():",
        "    made = transport.AsyncHttpTransport(_Client(dsn='http://k@127.0.0.1:9/1').options)",
        "    return type(made._pool).__module__, made._pool.__class__.__name__",
        "told += asyncio.run(main())",
        "import httpcore",
        "print(json.dumps([*told, type(transport.httpcore.ConnectionPool).__name__,"
        " transport.httpcore.ConnectionPool is httpcore.ConnectionPool]))",
    )
    assert told[1] is True
    assert told[-1] is True


@pytest.mark.parametrize("name", ["gevent", "httpcore", "anyio", "greenlet"])
def test_what_is_left_out_can_be_imported_afterwards(name):
    both(
        f"import {name}",
        f"module = sys.modules['{name}']",
        f"print(json.dumps([module is {name}, module.__spec__.origin, [getattr(each, '__name__', type(each).__name__) for each in sys.meta_path]]))",
    )


@pytest.mark.parametrize("name", ["gevent", "httpcore", "anyio"])
def test_what_is_not_installed_is_not_there(name):
    hide = f"sys.modules['{name}'] = None"
    asked = (
        "from sentry_sdk import transport, utils",
        "print(json.dumps([transport.HTTP2_ENABLED, transport.ASYNC_TRANSPORT_AVAILABLE, utils.get_gevent_hub.__module__]))",
    )
    plain = said(hide, PLAIN, *asked)
    lean = said(hide, LEAN, *asked)
    assert plain[:2] == lean[:2]


def test_another_thread_imports_the_real_one_meanwhile():
    told = said(
        "import threading",
        "from slotel.runtime.upstream.sentry import optional",
        "found = []",
        "def other():",
        "    import gevent, httpcore, h11",
        "    found.extend([httpcore.ConnectionPool.__name__, gevent.get_hub().__class__.__name__, h11.__name__])",
        "with optional._leaving_out():",
        "    import httpcore as own",
        "    thread = threading.Thread(target=other); thread.start(); thread.join()",
        "import httpcore",
        "print(json.dumps([*found, own.ConnectionPool is httpcore.ConnectionPool]))",
    )
    assert told == ["ConnectionPool", "Hub", "h11", True]
