"""What every test gets: an environment, a runtime directory and ports of its own; and `unit` tests, which start nothing."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.setup.defaults import LEFT_OUT
from support import file_order, kept
from support.unit import forbid_the_outside, is_unit

IN_MEMORY = Path("/dev/shm")

# A container's image often forbids bytecode files. Then every service that a test starts compiles some 800 modules: half of
# its start. `make` allows them, and this does for whoever calls pytest.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

LONG = os.environ.get("LONG") == "1"
"""Whether the long forms run, too: `make long`. A test marked `long`, or more examples of a property, prove no other kind of thing."""
# how long an example takes depends on the machine's load: no deadline
hypothesis.settings.register_profile("slotel", deadline=None, max_examples=1000 if LONG else 50)
hypothesis.settings.load_profile("slotel")


def _new_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="slotel-test-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))


def pytest_configure(config: pytest.Config) -> None:
    """Give this pytest process an empty environment for telemetry and a runtime directory, for session fixtures too."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "SENTRY_", "SLOTEL_", "ERROR_BUDGET_")):
            del os.environ[name]
    gc.disable()  # until the tests are collected: a tenth of the time, and no garbage
    directory = _new_directory()
    os.environ["XDG_RUNTIME_DIR"] = str(directory)
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
    if "TIMES" in os.environ:
        config.pluginmanager.register(file_order.Measure(Path(os.environ["TIMES"])))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if is_unit(item):
            item.add_marker("unit")
    if not LONG:
        long = [item for item in items if item.get_closest_marker("long") is not None]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item.get_closest_marker("long") is None]
    if "PYTEST_XDIST_WORKER" in os.environ:  # the whole run hands out file by file in this order
        file_order.sort(items)


def pytest_collection_finish() -> None:
    """Let no later collection of garbage, here or in a forked child, walk over the tests themselves."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" or report.failed:
        kept.test_has(report.outcome)
    return report


@pytest.fixture(autouse=True)
def own_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for runtime directories that no other test looks at."""
    directory = _new_directory()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_limit_of_another_test() -> Iterator[None]:
    """Forget which limits of the environment another test has left out: a process has one start."""
    LEFT_OUT.clear()
    yield
    LEFT_OUT.clear()


@pytest.fixture(autouse=True)
def no_callbacks_of_another_test() -> Iterator[None]:
    """Forget what the test has registered: every fork and tick of a later one would call it."""
    registered = dict(PROCESS._registered)
    yield
    PROCESS._registered.update(registered)


@pytest.fixture(autouse=True)
def nothing_outside_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a unit test that starts a process or opens a connection."""
    if request.node.get_closest_marker("unit") is not None:
        forbid_the_outside(monkeypatch)


@pytest.fixture(autouse=True)
def own_scopes() -> Iterator[None]:
    """Give the next test scopes of sentry-sdk on which nothing was said."""
    yield
    sdk = sys.modules.get("sentry_sdk")
    if sdk is not None:
        sdk.get_isolation_scope().clear()
        sdk.get_current_scope().clear()
