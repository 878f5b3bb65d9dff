"""gevent patches what the launcher has imported before it: libraries work as if they had been imported after."""

import subprocess
import sys

from support.launch import clean_environ
from support.ports import free_port

SCRIPT = """
import os, ssl, time, types, urllib.request, urllib3.util.ssl_
import slotel.runtime.bootstrap
runtime = slotel.runtime.bootstrap.start(os.environ)

library, app = types.ModuleType("library"), types.ModuleType("app")
exec("from ssl import SSLContext; from time import sleep", vars(library))
exec("from time import sleep", vars(app))
library.__file__ = "/venv/lib/python3/site-packages/library.py"
before = [ssl.SSLContext]
native = time.sleep
from gevent import monkey

monkey.patch_all()
context = urllib3.util.ssl_.create_urllib3_context()  # RecursionError with the class of before
assert library.SSLContext is ssl.SSLContext is not before[0], library.SSLContext
assert library.sleep is time.sleep is not native
assert app.sleep is native, "what the app's own modules imported before is the app's choice"
with urllib.request.urlopen(runtime.endpoint.address, timeout=20) as answer:
    assert b"slotel_build_info" in answer.read()
cpu = time.process_time()
time.sleep(1)
assert time.process_time() - cpu < 0.5, "the endpoint spins"
print("whole")
"""


def test_libraries_and_threads_of_the_launcher_are_patched_too():
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
