"""A real Alertmanager for tests, with the generated example's routes, and the webhook that its alerts arrive at."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from ruamel.yaml import YAML

from slotel.compile.prometheus.alertmanager import configuration
from support.launch import clean_environ, wait_until
from support.ports import free_port
from support.program import Posts, Program
from support.real import require_real


@dataclass(frozen=True)
class Arrived:
    """An alert as the webhook got it: when (monotonic seconds), on which path (`/page`, `/ticket`), in which state."""

    at: float
    path: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Webhook:
    """Takes Alertmanager's notifications on loopback."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self._posts = Posts(self._take)
        self.close = self._posts.close

    def _take(self, request: BaseHTTPRequestHandler, body: bytes) -> int:
        now = time.monotonic()
        for alert in json.loads(body)["alerts"]:
            told = alert["status"], alert["labels"], alert["annotations"]
            self.arrived.append(Arrived(now, request.path, *told))
        return 200

    def url(self, path: str) -> str:
        return self._posts.url + path

    def first(self, status: str, **labels: str) -> Arrived | None:
        for alert in list(self.arrived):
            if alert.status == status and labels.items() <= alert.labels.items():
                return alert
        return None


class Alertmanager(Program):
    """An Alertmanager with the generated routes, that waits a second instead of minutes.

    Args:
        inhibits: whether an alert mutes others, as the generated configuration says; else every alert arrives.
    """

    def __init__(self, folder: Path, webhook: Webhook, *, inhibits: bool = False) -> None:
        program = require_real("prometheus-alertmanager")
        self.port = free_port()
        config = configuration(webhook.url("/page"), webhook.url("/ticket"))
        if not inhibits:
            config["inhibit_rules"] = []
        for route in (config["route"], *config["route"]["routes"]):
            route.update({"group_wait": "1s", "group_interval": "1s"})
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "alertmanager.yaml").open("w") as file:
            YAML().dump(config, file)
        command = [
            program,
            f"--config.file={folder / 'alertmanager.yaml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]
        self.start_process(command, env=clean_environ())
        ready = f"http://127.0.0.1:{self.port}/-/ready"
        wait_until(lambda: self.answers(ready), "Alertmanager is ready", 60)

    def close(self) -> None:
        self.end(patience=20)
