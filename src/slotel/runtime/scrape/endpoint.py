"""The scrape endpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from slotel.runtime.store import Family


class Endpoint:
    """Serves /metrics."""

    def __init__(self, host: str, port: int, sources: Sequence[Callable[[], Iterable[Family]]]) -> None:
        self._host, self._port, self._sources = host, port, sources
        self.address = f"http://{host}:{port}/metrics"
        self.holds_port = False

    def start(self) -> None:
        """Start serving."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = endpoint.render().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer((self._host, self._port), Handler)
        server.daemon_threads = True
        self.holds_port = True
        threading.Thread(target=server.serve_forever, name="slotel-scrape", daemon=True).start()

    def render(self) -> str:
        """Return the text."""
        lines = []
        for source in self._sources:
            for family in source():
                name = f"{family.name}_total" if family.kind == "counter" else family.name
                lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
                for values, row in family.series.items():
                    labels = [
                        f'{key}="{value}"' for key, value in zip(family.label_names, values, strict=True)
                    ]
                    if family.kind != "histogram":
                        lines.append(f"{name}{{{','.join(labels)}}} {row[0]}")
                        continue
                    count = 0.0
                    for bound, cell in zip((*family.bounds, "+Inf"), row[:-1], strict=True):
                        count += cell
                        text = ",".join([*labels, f'le="{bound}"'])
                        lines.append(f"{name}_bucket{{{text}}} {count}")
                    lines.append(f"{name}_sum{{{','.join(labels)}}} {row[-1]}")
                    lines.append(f"{name}_count{{{','.join(labels)}}} {count}")
        return "\n".join(lines) + "\n"
