"""`import slotel` costs nothing; the public names are there when they are asked for, and start nothing."""

import subprocess
import sys

import pytest

import slotel


def loaded_by(code):
    """The modules and threads that a fresh interpreter has after the code."""
    text = f"{code}\nimport sys, threading\nprint(*sys.modules, threading.active_count())"
    answer = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=170, check=True
    )
    *modules, threads = answer.stdout.split()
    return set(modules), int(threads)


def test_importing_slotel_loads_neither_opentelemetry_nor_sentry():
    modules, threads = loaded_by("import slotel")
    assert not modules & {"opentelemetry", "sentry_sdk", "prometheus_client", "attrs", "ruamel"}
    assert threads == 1


def test_the_public_names_start_nothing_by_being_made():
    code = "from slotel import ErrorTracker, PerformanceTracker\nErrorTracker()\nPerformanceTracker()"
    modules, threads = loaded_by(code)
    assert "sentry_sdk" not in modules
    assert threads == 1


def test_every_public_name_is_there():
    assert {name: getattr(slotel, name).__name__ for name in slotel.__all__ if name != "__version__"} == {
        name: name for name in slotel.__all__ if name != "__version__"
    }
    assert dir(slotel) == sorted(slotel.__all__)


def test_another_name_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = slotel.nothing_like_it
