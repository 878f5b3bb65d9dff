"""What faults do to a real service: gunicorn, four workers, under load; prints the table of docs/reliability.md.

python tests/reliability/run.py [--seconds 8] [--write]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from slotel.cli.sink import SentrySink
from support.launch import Launched, wait_until

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
GUNICORN = (
    "gunicorn",
    "-w",
    "4",
    "-k",
    "gthread",
    "--threads",
    "4",
    "-b",
    "127.0.0.1:{port}",
    "flask_app:app",
)
CLIENTS = 4
MARK = "<!-- table -->"


class Seen(NamedTuple):
    sent: int
    served: int
    counted: int
    events_sent: int
    events: int
    transactions: int
    dropped: str
    p99: float
    memory: float
    descriptors: int


class Service(NamedTuple):
    launched: Launched
    sink: SentrySink
    run_dir: Path

    @property
    def master(self) -> psutil.Process:
        return psutil.Process(self.launched.pid)

    @property
    def workers(self) -> list[psutil.Process]:
        return self.master.children()

    def holder(self) -> psutil.Process:
        """Return the process that serves /metrics."""
        for process in (self.master, *self.workers):
            with suppress(psutil.Error):
                for connection in process.net_connections(kind="tcp"):
                    if connection.status == "LISTEN" and connection.laddr.port == self.launched.metrics_port:
                        return process
        raise AssertionError("nobody serves /metrics")


def nothing(service: Service) -> None:
    del service


def kill_a_worker(service: Service) -> None:
    service.workers[0].kill()


def kill_the_holder(service: Service) -> None:
    holder = service.holder()
    holder.kill() if holder.pid != service.master.pid else service.workers[-1].kill()


def kill_every_worker(service: Service) -> None:
    for worker in service.workers:
        worker.kill()


def reload(service: Service) -> None:
    service.master.send_signal(signal.SIGHUP)


def upgrade(service: Service) -> None:
    service.master.send_signal(signal.SIGTTIN)
    service.master.send_signal(signal.SIGTTOU)


def stop_a_worker(service: Service) -> None:
    worker = service.workers[0]
    worker.suspend()
    time.sleep(2)
    worker.resume()


def storm(service: Service) -> None:
    for _ in range(200):
        for worker in service.workers:
            with suppress(psutil.Error):
                worker.send_signal(signal.SIGUSR1)  # gunicorn opens its logs again
        time.sleep(0.005)


def remove_directory(service: Service) -> None:
    for path in service.run_dir.glob("slotel-*"):
        shutil.rmtree(path, ignore_errors=True)
    time.sleep(5.5)  # a tick


def exhaust_descriptors(service: Service) -> None:
    worker = service.workers[0]
    before = worker.rlimit(resource.RLIMIT_NOFILE)
    worker.rlimit(resource.RLIMIT_NOFILE, (worker.num_fds(), before[1]))
    time.sleep(2)
    worker.rlimit(resource.RLIMIT_NOFILE, before)


def flood_the_endpoint(service: Service) -> None:
    import socket

    until = time.monotonic() + 2
    while time.monotonic() < until:
        for _ in range(50):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", service.launched.metrics_port), timeout=1).close()


def sink(fault: str) -> Callable[[Service], None]:
    def at_work(service: Service) -> None:
        service.sink.set_fault(fault)  # type: ignore[arg-type]
        time.sleep(3)
        service.sink.set_fault("none")

    return at_work


FAULTS: dict[str, Callable[[Service], None]] = {
    "none": nothing,
    "SIGKILL of a worker": kill_a_worker,
    "SIGKILL of the worker that serves /metrics": kill_the_holder,
    "SIGKILL of every worker": kill_every_worker,
    "gunicorn HUP": reload,
    "gunicorn TTIN, TTOU": upgrade,
    "SIGSTOP of a worker for 2 s": stop_a_worker,
    "200 signals to each worker": storm,
    "runtime directory removed": remove_directory,
    "descriptors of a worker exhausted for 2 s": exhaust_descriptors,
    "connect-and-close flood on /metrics": flood_the_endpoint,
    "Sentry hangs for 3 s": sink("hang"),
    "Sentry answers 500 for 3 s": sink("500"),
    "Sentry refuses connections for 3 s": sink("refuse"),
}


@contextmanager
def service(place: Path) -> Iterator[Service]:
    place.mkdir(parents=True)
    with SentrySink(keep=200_000) as sentry:
        variables = {
            "SENTRY_DSN": sentry.dsn(), "XDG_RUNTIME_DIR": str(place), "SENTRY_TRACES_SAMPLE_RATE": "1.0",
            "OTEL_TRACES_EXPORTER": "none",
        }  # fmt: skip
        with Launched(*GUNICORN, env=variables) as launched:
            launched.wait_ready()
            yield Service(launched, sentry, place)


def load(service: Service, seconds: float) -> tuple[int, list[float], int]:
    """Return (sent, seconds of each answer, answers that were errors)."""
    sent, durations, errors, until = [0] * CLIENTS, [], [0] * CLIENTS, time.monotonic() + seconds

    def client(number: int) -> None:
        while time.monotonic() < until:
            sent[number] += 1
            failing = sent[number] % 20 == 0
            begun = time.perf_counter()
            try:
                status, _ = service.launched.get("/error" if failing else f"/items/{sent[number] % 9}")
            except Exception:  # the fault took the connection along
                continue
            durations.append(time.perf_counter() - begun)
            errors[number] += status >= 500
            time.sleep(0.01)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return sum(sent), durations, sum(errors)


def counted(service: Service) -> int:
    return int(service.launched.sample("traces_span_metrics_calls_total", span_kind="SPAN_KIND_SERVER"))


def memory(service: Service) -> tuple[float, int]:
    rss, descriptors = 0, 0
    for process in (service.master, *service.workers):
        with suppress(psutil.Error):
            rss += process.memory_info().rss
            descriptors += process.num_fds()
    return rss / 1e6, descriptors


def under(fault: Callable[[Service], None], place: Path, seconds: float) -> Seen:
    with service(place) as running:
        load(running, 2)  # warm
        before, counted_before = memory(running), counted(running)
        events_before, transactions_before = running.sink.events, running.sink.transactions
        at_work = threading.Timer(seconds / 4, fault, (running,))
        at_work.start()
        sent, durations, errors = load(running, seconds)
        at_work.join()
        settled: list[Any] = []

        def is_settled() -> bool:
            with suppress(OSError):
                settled.append((counted(running), running.sink.events, running.sink.transactions))
                time.sleep(0.7)
            return len(settled) > 2 and settled[-1] == settled[-2] == settled[-3]

        with suppress(AssertionError):
            wait_until(is_settled, "the counts settle", 40)
        lost = [
            f"{labels['signal']} {labels['reason']} {value:g}"
            for labels, value in running.launched.samples("slotel_dropped_total")
            if value
        ]
        after = memory(running)
        return Seen(
            sent, len(durations), settled[-1][0] - counted_before, errors, running.sink.events - events_before,
            running.sink.transactions - transactions_before, ", ".join(lost) or "–",
            statistics.quantiles(durations, n=100)[98] * 1000, after[0] - before[0], after[1] - before[1],
        )  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=8.0)
    options.add_argument("--only", default="")
    options.add_argument("--write", action="store_true")
    found = options.parse_args()
    head = (
        "fault", "sent", "answered", "counted", "errors answered", "events at Sentry", "transactions at Sentry",
        "dropped, by reason", "p99 ms", "p99 / without", "memory MB", "descriptors",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] + ['---:'] * (len(head) - 1))} |"]
    print("\n".join(lines), flush=True)
    base = 0.0
    place = Path(os.environ.get("TMPDIR", "/tmp")) / f"slotel-reliability-{os.getpid()}"
    for number, (name, fault) in enumerate(FAULTS.items()):
        if found.only and found.only not in name and name != "none":
            continue
        seen = under(fault, place / str(number), found.seconds)
        base = base or seen.p99
        cells = (
            name, f"{seen.sent:,}", f"{seen.served:,}", f"{seen.counted:,}", seen.events_sent, seen.events,
            f"{seen.transactions:,}", seen.dropped, f"{seen.p99:.0f}", f"{seen.p99 / base:.1f}", f"{seen.memory:+.1f}",
            f"{seen.descriptors:+d}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
        print(lines[-1], flush=True)
    shutil.rmtree(place, ignore_errors=True)
    if found.write:
        before, _, rest = PAGE.read_text().partition(MARK)
        after = rest.partition(MARK)[2]
        PAGE.write_text(f"{before}{MARK}\n\n" + "\n".join(lines) + f"\n\n{MARK}{after}")


if __name__ == "__main__":
    main()
