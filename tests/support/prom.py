"""A real Prometheus for tests: scrapes loopback targets twice a second, and is asked in PromQL."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from ruamel.yaml import YAML

from support.launch import clean_environ, wait_until
from support.ports import free_port
from support.program import Program
from support.real import require_real


def is_version_2() -> bool:
    """Return whether the Prometheus that the tests start is older than 3, which is the first that was built here."""
    command = [require_real("prometheus"), "--version"]
    return "version 2." in subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Prometheus(Program):
    """A Prometheus that runs, on a port and a data directory that it keeps over a restart.

    Args:
        jobs: job → its targets, `host:port`.
        rules: rule files.
        interval: between scrapes and between evaluations.
        alertmanagers: `host:port` of those that get the alerts.
        scrape: more of each job, by its name: credentials, TLS.
        external_labels: what it adds to alerts, remote write and federation.
        remote_write: where it sends series to.
        flags: further flags of its command.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Mapping[str, Sequence[str]],
        rules: Sequence[Path] = (),
        interval: str = "500ms",
        alertmanagers: Sequence[str] = (),
        scrape: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        external_labels: Mapping[str, str] = MappingProxyType({}),
        remote_write: Sequence[Mapping[str, Any]] = (),
        flags: Sequence[str] = (),
    ) -> None:
        self._program = require_real("prometheus")
        self.port = free_port()
        self._folder, self._flags = folder, flags
        folder.mkdir(parents=True, exist_ok=True)
        every: dict[str, Any] = {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        }
        every["external_labels"] = dict(external_labels)
        scrapes = [
            {
                "job_name": job,
                "honor_labels": True,
                "static_configs": [{"targets": list(targets)}],
                **scrape.get(job, {}),
            }
            for job, targets in jobs.items()
        ]
        config = {"global": every, "rule_files": [str(rule) for rule in rules], "scrape_configs": scrapes}
        if remote_write:
            quick = {"queue_config": {"batch_send_deadline": "200ms"}}
            config["remote_write"] = [{**each, **quick} for each in remote_write]
        if alertmanagers:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]}
        with (folder / "prometheus.yml").open("w") as file:
            YAML().dump(config, file)
        self.start()

    def start(self) -> Prometheus:
        command = [
            self._program,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage",
            *self._flags,
        ]
        self.start_process(command, env=clean_environ())
        ready = f"{self.url}/-/ready"
        wait_until(lambda: self.answers(ready), f"Prometheus is ready; it said:\n{self.log}", 60)
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector that an expression is now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def ask(self, path: str, **parameters: str) -> Any:
        """The data that its API answers."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def exemplars(self, expression: str) -> set[str]:
        """The trace ids of the exemplars of the last hour."""
        now = time.time()
        query = urllib.parse.urlencode({"query": expression, "start": now - 3600, "end": now + 60})
        with urllib.request.urlopen(f"{self.url}/api/v1/query_exemplars?{query}", timeout=30) as answer:
            found = json.load(answer)["data"]
        return {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}

    def value(self, expression: str) -> float:
        """The sum of the vector that an expression is now; 0.0 for an empty one."""
        return sum(float(sample["value"][1]) for sample in self.query(expression))

    def wait(self, expression: str, value: float, deadline: float = 30) -> None:
        """Wait until the expression has the value; fail with what it had."""
        seen: list[float] = []

        def reached() -> bool:
            seen.append(self.value(expression))
            return seen[-1] == value

        try:
            wait_until(reached, expression, deadline)
        except AssertionError as error:
            raise AssertionError(f"{expression} is {seen[-1]:g}, not {value:g}") from error

    def stop(self) -> None:
        self.end(patience=30)

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
