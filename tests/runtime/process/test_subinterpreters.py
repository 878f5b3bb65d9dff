"""Other interpreters of a process, and processes that run no app: slotel runs in none of them."""

import os
import subprocess
import sys

import pytest

from support.launch import OPENTELEMETRY_INSTRUMENT, clean_environ

SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = "import os; from slotel.runtime.bootstrap import start; print(start(os.environ), flush=True)"
try:
    made = interpreters.create("legacy")  # as mod_wsgi and embedding programs make them
except (TypeError, ValueError):
    made = interpreters.create(isolated=False)
for _ in range(2):
    failed = interpreters.run_string(made, code)
    assert failed is None, failed
interpreters.destroy(made)
print("ended", flush=True)
"""


def test_slotel_starts_no_thread_in_a_subinterpreter_which_could_not_end_with_it():
    done = subprocess.run(
        [sys.executable, "-c", SUBINTERPRETER], capture_output=True, text=True, timeout=120,
        env={**os.environ, "OTEL_EXPORTER_PROMETHEUS_PORT": "0"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["None", "None", "ended"]), done.stderr
    assert "slotel does not start in a subinterpreter" in done.stderr


LOADED = "import sys; print('opentelemetry.instrumentation.urllib3' in sys.modules, flush=True)"
IN_ANOTHER = f"""
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
made = interpreters.create()
interpreters.run_string(made, {LOADED!r})
interpreters.destroy(made)
"""


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        pytest.param(LOADED, "True", id="an app"),
        pytest.param(IN_ANOTHER, "False", id="another interpreter of an app"),
        pytest.param(f"from multiprocessing.resource_tracker import main\n{LOADED}", "False", id="a tracker"),
    ],
)
def test_libraries_are_instrumented_where_slotel_runs_and_nowhere_else(code, loaded):
    done = subprocess.run(
        [str(OPENTELEMETRY_INSTRUMENT), sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
        env=clean_environ(OTEL_EXPORTER_PROMETHEUS_PORT="0"), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, [loaded]), done.stderr
    assert "Traceback" not in done.stderr


ISOLATED = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
made = interpreters.create()  # no thread may be started there
failed = interpreters.run_string(made, sys.argv[1])
assert failed is None, failed
interpreters.destroy(made)
print("ended", flush=True)
"""


def test_an_isolated_subinterpreter_runs_without_slotel_and_is_told_so_in_one_line():
    """Python 3.12.1 aborts where such an interpreter has imported asyncio, and ends: with slotel and without."""
    done, bare = (
        subprocess.run([sys.executable, "-c", ISOLATED, code], capture_output=True, text=True, timeout=120)
        for code in (
            "import slotel.runtime.distro as d; d.SlotelConfigurator().configure(); print(1, flush=True)",
            "import asyncio; print(1, flush=True)",
        )
    )
    assert bare.stdout.split() == ["1", "ended"]
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout), done.stderr
    assert done.stderr.count("slotel does not start in a subinterpreter") == 1
    assert "Traceback" not in done.stderr
