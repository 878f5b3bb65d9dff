"""A program that runs in a process of its own, with its output collected; and a loopback end for what programs post."""

from __future__ import annotations

import gzip
import signal
import subprocess
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil


class Program:
    """A program that runs; it may be started again.

    Attributes:
        patience: seconds that it may take to end.
    """

    patience: float = 15

    def start_process(self, command: Sequence[str], **options: Any) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        self._lines: list[str] = getattr(self, "_lines", [])
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return "\n".join(self._lines)

    def said(self, text: str, deadline: float = 30) -> bool:
        """Whether its output has the text by the deadline: what it has written is read a little later."""
        until = time.monotonic() + deadline
        while text not in self.log and time.monotonic() < until:
            time.sleep(0.02)
        return text in self.log

    def answers(self, url: str) -> bool:
        """Whether it answers 200; fail if it has ended."""
        if self._process.poll() is not None:
            self._reader.join(5)
            raise AssertionError(f"ended with {self._process.returncode}:\n{self.log[-3000:]}")
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def send(self, number: int) -> None:
        """Send a signal to it, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def end(self, number: int = signal.SIGTERM, patience: float | None = None) -> int:
        """End it and return its status."""
        self.send(number)
        try:
            self._process.wait(self.patience if patience is None else patience)
        except subprocess.TimeoutExpired:
            own = psutil.Process(self.pid).children(recursive=True)
            self._process.kill()
            self._process.wait(15)
            for each in own:  # they would go on, and take a core of the tests that follow
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        self._reader.join(5)  # an orphan may still write there
        return int(self._process.returncode)


class Posts(ThreadingHTTPServer):
    """Gives each POST to a function, which returns the status of the answer.

    Args:
        take: gets the request and its body, unpacked.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, take: Callable[[BaseHTTPRequestHandler, bytes], int], port: int = 0) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept, as a collector keeps them
            disable_nagle_algorithm = True  # head and body are two packets

            def do_POST(self) -> None:
                status = take(
                    self, unpacked(self.headers, self.rfile.read(int(self.headers.get("Content-Length", 0))))
                )
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


def unpacked(headers: Any, body: bytes) -> bytes:
    """The body without its encoding."""
    if headers.get("Content-Encoding") == "gzip" or body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    return zlib.decompress(body) if headers.get("Content-Encoding") == "deflate" else body
