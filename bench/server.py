"""Processes under measurement: start, CPU, memory, scrape, stop; and the sink beside them. Judges nothing."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from variants import APPS, COUNTS_REQUESTS, HERE, Variant

START_SECONDS = 60.0


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """Return user + system seconds of a process with all its threads, also ended ones, and of its children.

    The kernel's clock of another process, in nanoseconds; /proc/<pid>/stat would round to 10 ms.
    """
    pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return sum(time.clock_gettime((~each << 3) | 2) for each in pids)


def memory_kib(pid: int) -> dict[str, int]:
    """Return resident and proportional set size in KiB, children included."""
    sizes = {"rss": 0, "pss": 0}
    for each in [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]:
        text = Path(f"/proc/{each}/smaps_rollup").read_text()
        for name in sizes:
            sizes[name] += int(re.search(rf"^{name}:\s+(\d+)", text, re.IGNORECASE | re.MULTILINE)[1])
    return sizes


class Sink:
    """bench/sink.py as its own process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "sink.py"), "--keep", "1"], stdout=subprocess.PIPE, text=True
        )
        where = json.loads(self._process.stdout.readline())
        self.dsn: str = where["dsn"]
        self._stats = f"http://127.0.0.1:{where['port']}/stats"

    def stats(self) -> dict[str, int]:
        with urllib.request.urlopen(self._stats, timeout=30) as answer:
            return json.loads(answer.read())

    def transactions(self) -> int:
        return self.stats().get("transaction", 0)

    def wait_transactions(self, least: int, seconds: float) -> None:
        """Wait until so many transactions are counted, or until the seconds are over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.transactions() < least:
            time.sleep(0.05)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a process leaves: its exit status and all the CPU seconds it ever used, waited-for children included."""

    status: int
    cpu: float


class Server:
    """One app in one variant."""

    def __init__(self, app: str, variant: Variant, dsn: str, environ: Mapping[str, str] = os.environ) -> None:
        self.variant = variant
        self._metrics_port = free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        self._process = subprocess.Popen(
            [*variant.command, str(APPS[app])],
            env=variant.environ(environ, dsn, self._metrics_port),
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.pid = self._process.pid
        self.port = self._announced()

    def _announced(self) -> int:
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline() if ready else b""
        if not line.startswith(b"{"):
            self.stop(signal.SIGKILL)
            raise RuntimeError(f"{self.variant.name} did not start:\n{self.log()[-2000:]}")
        return json.loads(line)["port"]

    def get(self, path: str) -> str:
        """Return the body of a GET; raises on any status but 200."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return answer.read().decode()

    def load(self, path: str, count: int, rate: float, seed: int | None = None) -> dict:
        """Drive `count` requests from another process, with a seed at random moments; return what it saw."""
        command = [
            sys.executable,
            "-I",
            "-S",
            str(HERE / "load.py"),
            "--port",
            str(self.port),
            "--path",
            path,
        ]
        command += ["--count", str(count), "--rate", str(rate)]
        if seed is not None:  # a server that is too slow is not asked for the rest
            command += ["--seed", str(seed), "--most-seconds", str(1.1 * count / rate)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
        if done.returncode:
            raise RuntimeError(f"{self.variant.name} {path}: {done.stderr[-1000:]}\n{self.log()[-1000:]}")
        return json.loads(done.stdout)

    def collect_garbage(self) -> None:
        """Have it make the full collection that a start's many objects bring about: 50 ms, once in a process."""
        os.kill(self.pid, signal.SIGUSR1)

    def lost(self) -> dict[str, float]:
        """Return what slotel says that it lost, by signal; empty for a variant without slotel."""
        if self.variant.kind != "slotel":
            return {}
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        lost: dict[str, float] = {}
        for signal_name, value in re.findall(
            r'^slotel_dropped_total\{[^}]*signal="(\w+)"[^}]*\} (\S+)', text, re.MULTILINE
        ):
            lost[signal_name] = lost.get(signal_name, 0.0) + float(value)
        return lost

    def requests_in_metrics(self) -> float | None:
        """Return how many requests a scrape reports; None when the variant has no metrics or none are found."""
        if self.variant.metrics is None:
            return None
        port = self.port if self.variant.metrics == "app" else self._metrics_port
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        for name in COUNTS_REQUESTS[self.variant.kind]:
            lines = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]
            if self.variant.kind == "slotel":
                lines = [line for line in lines if "SPAN_KIND_SERVER" in line]
            if lines:
                return sum(float(re.sub(r"^[^ {]+(\{.*\})? ", "", line).split(" ")[0]) for line in lines)
        return 0.0

    def stop(self, how: signal.Signals = signal.SIGTERM) -> Stopped:
        """End the process as its operator would; after 15 s as nobody should."""
        self._process.send_signal(how)
        deadline = time.monotonic() + 15
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self._process.kill()
                deadline += 3600
            time.sleep(0.01)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._process.stdout.close()
        return Stopped(self._process.returncode, usage.ru_utime + usage.ru_stime)

    def log(self) -> str:
        """Return what it wrote to standard error."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")
