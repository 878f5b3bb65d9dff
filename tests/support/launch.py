"""Starts a service under real auto-instrumentation, in a process of its own, and talks to it over HTTP."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from prometheus_client.parser import text_string_to_metric_families

from slotel.runtime.upstream.sentry.integrations import auto_enabling_integrations
from support.ports import free_port
from support.program import Program

APPS = Path(__file__).parents[1] / "apps"
LAUNCHER = Path(__file__).with_name("instrument.sh")
"""What most tests start a service with; it leaves out the command's own process."""
OPENTELEMETRY_INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
_USES = {"fastapi": ("starlette", "httpx"), "quart": ("flask",), "starlette": ("httpx",)}
"""Library → what it, or its client for tests, uses."""
DEADLINE = 180.0
"""Seconds; a loaded machine starts a service slowly."""


def wait_until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """Return the condition's first true value; fail with `what` after the deadline."""
    until = time.monotonic() + deadline
    pause = 0.02
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(pause)
        pause = min(
            pause * 1.3, 0.25
        )  # what waits for long asks less often: asking costs the service CPU, too
    raise AssertionError(f"not within {deadline:g} s: {what}")


def busy() -> float:
    """How many times over the machine is busy, at least 1: by so much more time may something take."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def clean_environ(**variables: str) -> dict[str, str]:
    """The environment without anything that a developer set for telemetry."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "SENTRY_", "SLOTEL_", "ERROR_BUDGET_", "PYTEST_", "_SLOTEL_"))
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", **variables}


def launched_by(how: str, *libraries: str) -> list[str]:
    """What starts an app `plain`, under sentry-sdk alone, or else with slotel; put it before the command.

    Args:
        libraries: what the plain one uses of all that sentry-sdk patches by itself. The rest is not there for it, since importing
            all that is installed is most of the start. Its events then have another `sdk.name`, the first library's.
    """
    if how != "plain":
        return [str(LAUNCHER)]
    used = {*libraries, *(more for each in libraries for more in _USES.get(each, ()))}
    absent = {path.split(".")[2] for path in auto_enabling_integrations()} - used
    path = os.pathsep.join(
        filter(None, (str(Path(__file__).with_name("plain")), os.environ.get("PYTHONPATH")))
    )
    return ["env", f"PYTHONPATH={path}", f"SUPPORT_NOT_INSTALLED={','.join(sorted(absent))}"]


def samples_of(exposition: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The labels and values of a name."""
    return [
        (dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == name
    ]


RUNNING: weakref.WeakSet[Launched] = weakref.WeakSet()
_STARTING = threading.RLock()
"""Held while a process starts, until it is in `RUNNING`."""


def end_with_services(number: int, _frame: object) -> NoReturn:
    """End this process, as a handler of its signal, and the services that it has launched."""
    with _STARTING:  # another thread may be about to have one
        services = list(RUNNING)
    for service in services:
        service.send(signal.SIGTERM)
    for service in services:
        service.stop()
    os._exit(128 + number)  # threads may wait for a service that is gone


class Launched(Program):
    """A service that runs: `opentelemetry-instrument COMMAND`, with its output collected."""

    def __init__(
        self,
        *command: str,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        launcher: bool = True,
        cwd: Path = APPS,
    ) -> None:
        self.port = port or free_port()
        self.metrics_port = free_port()
        variables = {
            "PORT": str(self.port),
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(self.metrics_port),
            "OTEL_SERVICE_NAME": "shop",
            **(env or {}),
        }
        self.metrics_port = int(variables["OTEL_EXPORTER_PROMETHEUS_PORT"])
        filled = [part.replace("{port}", str(self.port)) for part in command]
        given = [str(LAUNCHER), *filled] if launcher else filled
        self._counting = threading.Lock()
        self.requests = 0
        """Requests that were answered."""
        with _STARTING:
            self.start_process(given, env=clean_environ(**variables), cwd=cwd)
            RUNNING.add(self)

    def wait_ready(self, path: str = "/healthz") -> Launched:
        def answers() -> bool:
            if self._process.poll() is not None:
                raise AssertionError(f"ended with {self._process.returncode}:\n{self.log}")
            try:
                return self.get(path)[0] > 0
            except OSError:
                return False

        wait_until(answers, f"the service answers; it said:\n{self.log}")
        return self

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read().decode()
        with self._counting:
            self.requests += 1
        return status, body

    def scrape(self, headers: Mapping[str, str] | None = None) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.metrics_port}/metrics", headers=dict(headers or {})
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def sample(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name whose labels include the given ones; 0.0 if there are none."""
        return sum(value for found, value in self.samples(name) if labels.items() <= found.items())

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        return samples_of(self.scrape(), name)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """End the service and return all that it said."""
        self.end(number)
        return self.log

    def __enter__(self) -> Launched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print(self.log)
