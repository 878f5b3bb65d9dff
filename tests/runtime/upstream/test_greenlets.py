"""gevent patches what opentelemetry-instrument has imported before it: libraries work as if they had been imported after."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from support.launch import clean_environ
from support.ports import free_port

SCRIPT = """
import os, ssl, time, types, urllib.request, urllib3.util.ssl_
import slotel.runtime.bootstrap
runtime = slotel.runtime.bootstrap.start(os.environ)

library, app = types.ModuleType("library"), types.ModuleType("app")
exec("from ssl import SSLContext; from time import sleep; original_sleep = sleep", vars(library))
exec("from time import sleep", vars(app))
library.__file__ = "/venv/lib/python3/site-packages/library.py"
before = [ssl.SSLContext]
native = time.sleep
from gevent import monkey

monkey.patch_all()
context = urllib3.util.ssl_.create_urllib3_context()  # RecursionError with the class of before
assert library.SSLContext is ssl.SSLContext is not before[0], library.SSLContext
assert library.sleep is time.sleep is not native
assert library.original_sleep is native, "celery has such a name on purpose"
assert app.sleep is native, "what the app's own modules imported before is the app's choice"
with urllib.request.urlopen(runtime.endpoint.address, timeout=20) as answer:
    assert b"slotel_build_info" in answer.read()
cpu = time.process_time()
time.sleep(1)
assert time.process_time() - cpu < 0.5, "the endpoint spins"
print("whole")
"""


def test_libraries_and_threads_of_opentelemetry_instrument_are_patched_too():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env=clean_environ(OTEL_TRACES_EXPORTER="none", OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port())),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("whole\n"), done.stderr
    assert "Traceback" not in done.stderr


CHILDREN = """
import os, subprocess, threading
import slotel.runtime.bootstrap
slotel.runtime.bootstrap.start(os.environ)
from gevent import monkey

monkey.patch_all()
subprocess.run(["true"], check=True)  # gevent's forks in Python
child = os.fork()
if child == 0:
    assert threading.current_thread() is threading.main_thread()
    names = sorted(each.name for each in threading.enumerate())
    print(names, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(sorted(each.name for each in threading.enumerate()))
"""


@pytest.mark.skipif(
    version("opentelemetry-sdk") == "1.45.0",
    reason="1.45.0 starts a thread in each child before gevent's hook, also without slotel",
)
def test_a_child_of_a_process_that_gevent_has_patched_starts_threads_after_gevents_hook():
    """gevent's asserts that the child has no other, and gives it its main thread."""
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN],
        env=clean_environ(OTEL_TRACES_EXPORTER="none", OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port())),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    child, parent = done.stdout.splitlines()
    assert child == parent == "['MainThread', 'slotel-scrape', 'slotel-ticker']"
    assert "Traceback" not in done.stderr, done.stderr


EVENTLET = """
import os, select, sys, threading, types
import slotel.runtime.bootstrap
slotel.runtime.bootstrap.start(os.environ)

library = types.ModuleType("library")
exec("import select; _selectf = select.select", vars(library))
library.__file__ = "/venv/lib/python3/site-packages/library.py"
native = select.select
import eventlet  # a double

def names(): return {thread.name for thread in threading.enumerate() if thread.name.startswith("slotel")}
eventlet.monkey_patch()
assert eventlet.patcher.running == [set()], "slotel's threads end before the patching"
assert names() == {"slotel-ticker"}, names()
assert library._selectf is select.select is not native
print("whole")
"""


def test_libraries_of_opentelemetry_instrument_get_what_eventlet_patches(tmp_path):
    """By a double of eventlet: where the real one is installed, sentry-sdk imports it, which warns in every process."""
    package = tmp_path / "eventlet"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from eventlet import patcher\nmonkey_patch = patcher.monkey_patch\n"
    )
    (package / "patcher.py").write_text(
        "import select, threading\nrunning = []\ndef is_monkey_patched(module): return False\n"
        "def monkey_patch():\n"
        "    running.append({each.name for each in threading.enumerate() if each.name.startswith('slotel')})\n"
        "    select.select = lambda *args: None\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EVENTLET],
        env=clean_environ(
            OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none", PYTHONPATH=str(tmp_path)
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("whole\n"), done.stderr
