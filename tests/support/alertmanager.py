"""A real Alertmanager for tests, with the generated example's routes, and the webhook that its alerts arrive at."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from slotel.compile.prometheus.alertmanager import configuration
from support.launch import clean_environ, wait_until
from support.ports import free_port
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
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    webhook.arrived.append(
                        Arrived(
                            time.monotonic(),
                            self.path,
                            alert["status"],
                            alert["labels"],
                            alert["annotations"],
                        )
                    )
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def first(self, status: str, **labels: str) -> Arrived | None:
        for alert in list(self.arrived):
            if alert.status == status and labels.items() <= alert.labels.items():
                return alert
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Alertmanager:
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
        self._log = (folder / "alertmanager.log").open("w")
        self._process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'alertmanager.yaml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            env=clean_environ(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        wait_until(self._ready, "Alertmanager is ready", 60)

    def _ready(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=30) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
