"""A real OpenTelemetry Collector for tests: found or built once, started on loopback, asked over HTTP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pytest
from ruamel.yaml import YAML

from support.launch import samples_of, wait_until
from support.once import alone
from support.ports import free_port
from support.program import Program

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "collector"
WITHOUT_POLICY = Path(__file__).with_name("without_policy.yaml")
"""For tests of what is not redaction; give it last."""
BUILD_LIMIT = 40 * 60.0
"""Seconds; a cold build on two busy cores takes about five minutes."""


def find_otelcol() -> str:
    """The path of a collector with the components of builder.yaml: OTELCOL, the built one, or one built now."""
    named = os.environ.get("OTELCOL")
    if named:
        return named
    if shutil.which("go"):
        return _built()
    for program in ("otelcol-contrib", "otelcol"):
        path = shutil.which(program)
        if path:
            return path
    message = "no collector: install Go 1.26 or newer and run 'make collector', or name an otelcol-contrib by OTELCOL="
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(message)
    pytest.skip(message)


def listening_on(port: int) -> bool:
    """Whether a collector's health check answers there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def alert(name: str) -> str:
    """The expression of an alert in collector/alerts.yaml."""
    groups = YAML(typ="safe").load((CONFIGS / "alerts.yaml").read_text())["groups"]
    [found] = [rule["expr"] for group in groups for rule in group["rules"] if rule["alert"] == name]
    return str(found)


def _built() -> str:
    started = time.monotonic()
    with alone("otelcol"):
        build = subprocess.run(
            ["sh", str(CONFIGS / "build.sh")],
            stdout=subprocess.PIPE,
            text=True,
            timeout=BUILD_LIMIT,
            cwd=ROOT,
        )
    if build.returncode:
        pytest.fail("collector/build.sh failed: its messages stand above")
    if time.monotonic() - started > 5:
        print(f"collector: built in {time.monotonic() - started:.0f} s")
    return build.stdout.strip()


class Collector(Program):
    """A collector that runs, with ports of its own that it keeps over a restart.

    Args:
        configs: file names in collector/, paths, or `yaml:…`.
        state: where its queues are; None leaves that to its default.
        env: beside the ports: what the configuration reads.
        user: whom the process runs as.
        address: where it listens and is asked, if the environment says another.
    """

    def __init__(
        self,
        binary: str,
        state: Path | None,
        *configs: str | Path,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.state = state
        self.address = address
        self._user = user
        self.grpc_port, self.http_port, self.prometheus_port = free_port(), free_port(), free_port()
        self.telemetry_port, self.health_port = free_port(), free_port()
        given = (each if str(each).startswith("yaml:") else CONFIGS / each for each in configs)
        self._command = [binary, *(f"--config={each}" for each in given)]
        self._env = {
            "OTLP_GRPC_PORT": str(self.grpc_port),
            "OTLP_HTTP_PORT": str(self.http_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "TELEMETRY_PORT": str(self.telemetry_port),
            "HEALTH_PORT": str(self.health_port),
            **({} if state is None else {"OTELCOL_STATE": str(state)}),
            "SPAN_METRICS_FLUSH": "200ms",
            "SENTRY_OTLP_TRACES_URL": "http://127.0.0.1:1/",
            "SENTRY_PUBLIC_KEY": "public",
            "GOMAXPROCS": "2",
            **(env or {}),
        }
        self.start()

    def start(self) -> Collector:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        extra = None if self._user is None else []
        self.start_process(
            self._command,
            env={**kept, **self._env},
            cwd=ROOT,
            user=self._user,
            group=self._user,
            extra_groups=extra,
        )
        wait_until(self.healthy, f"the collector is healthy; it said:\n{self.log[-3000:]}", 180)
        return self

    @property
    def otlp(self) -> str:
        """Where services send to."""
        return f"http://{self.address}:{self.http_port}"

    def healthy(self) -> bool:
        return self.answers(f"http://{self.address}:{self.health_port}/")

    def metric(self, name: str, /, *, own: bool = False, **labels: str) -> float:
        """The sum of the samples of a name: of the services' metrics, or of the collector's own.

        The parser gives every counter its `_total`, also where the collector's own page has none.
        """
        return sum(value for _, value in self.samples(name, own=own, **labels))

    def samples(
        self, name: str, /, *, own: bool = False, **labels: str
    ) -> list[tuple[dict[str, str], float]]:
        found = samples_of(self.scrape(own=own), name)
        return [(each, value) for each, value in found if labels.items() <= each.items()]

    def scrape(self, *, own: bool = False, headers: Mapping[str, str] | None = None) -> str:
        port = self.telemetry_port if own else self.prometheus_port
        request = urllib.request.Request(f"http://{self.address}:{port}/metrics", headers=dict(headers or {}))
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def stop(self, number: int = signal.SIGTERM, patience: float = 60) -> int:
        """End the process and return its status."""
        return self.end(number, patience)

    def __enter__(self) -> Collector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(patience=10)
        if error is not None:
            print(self.log[-5000:])
