"""A page that shows what Alertmanager sends: the last place of an alert where nobody has set up a pager yet.

POST /page and /ticket take Alertmanager's webhooks, GET / shows them, newest first. What has come is kept in a file.
"""

from __future__ import annotations

import json
import os
import threading
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

KEPT: Final = 500
RECEIVERS: Final = ("page", "ticket")
STYLE: Final = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ccc;vertical-align:top}"
    ".firing{color:#b00020;font-weight:600}.resolved{color:#1b5e20}"
)


class Alerts:
    """The last state of each alert, in a file that outlives the process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._alerts: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}

    def take(self, receiver: str, message: dict[str, Any]) -> None:
        """Keep the alerts of one webhook."""
        with self._lock:
            for alert in message.get("alerts", []):
                key = f"{receiver} {alert.get('fingerprint')} {alert.get('startsAt')}"
                self._alerts.pop(key, None)
                self._alerts[key] = {"receiver": receiver, **alert}
            for key in list(self._alerts)[:-KEPT]:
                del self._alerts[key]
            temporary = self._file.with_suffix(".new")
            temporary.write_text(json.dumps(self._alerts))
            temporary.replace(self._file)

    def html(self) -> str:
        """Return the page."""
        with self._lock:
            alerts = list(reversed(self._alerts.values()))
        firing = sum(alert.get("status") == "firing" for alert in alerts)
        rows = "".join(map(_row, alerts)) or "<tr><td colspan=5>No alert has come yet.</td></tr>"
        return (
            f"<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=10><title>({firing}) Alerts</title>"
            f"<style>{STYLE}</style><h1>{firing} firing</h1><table>"
            f"<tr><th>State<th>Severity<th>Alert<th>Since<th>Labels</tr>{rows}</table>"
        )


def _row(alert: dict[str, Any]) -> str:
    labels = alert.get("labels", {})
    annotations = alert.get("annotations", {})
    status = "firing" if alert.get("status") == "firing" else "resolved"
    shown = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")
    text = annotations.get("summary") or annotations.get("description") or ""
    return (
        f"<tr><td class={status}>{status}<td>{escape(alert['receiver'])}"
        f"<td><b>{escape(str(labels.get('alertname')))}</b><br>{escape(str(text))}"
        f"<td>{escape(str(alert.get('startsAt', ''))[:19])}<td>{escape(shown)}</tr>"
    )


def server(address: tuple[str, int], file: Path) -> ThreadingHTTPServer:
    """Return the server of the page, bound."""
    alerts = Alerts(file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200 if self.path == "/" else 404, alerts.html() if self.path == "/" else "")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver = self.path.strip("/")
            if receiver not in RECEIVERS:
                self._answer(404, "")
                return
            try:
                alerts.take(receiver, json.loads(body))
            except (ValueError, AttributeError, TypeError) as error:
                self._answer(400, str(error))
                return
            self._answer(200, "")

        def _answer(self, status: int, body: str) -> None:
            encoded = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *args: object) -> None:
            pass

    return ThreadingHTTPServer(address, Handler)


if __name__ == "__main__":
    server(
        (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9095"))),
        Path(os.environ.get("ALERTS_FILE", "alerts.json")),
    ).serve_forever()
