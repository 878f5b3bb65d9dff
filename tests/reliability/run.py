"""What faults do to a real service under load; prints the tables of docs/reliability.md.

python tests/reliability/run.py [--seconds 6] [--minutes 20] [--only TEXT] [--write]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import socketserver
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from faults import FAULTS, HERE, WAYS, Fault, Service

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, Launched, wait_until

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
CLIENTS = 4
MARK = "<!-- table -->"
HEAD = (
    "fault", "sent", "answered", "counted", "errors answered", "events at Sentry", "transactions at Sentry",
    "dropped, by reason", "p99 ms", "p99 / without", "memory MB", "descriptors",
)  # fmt: skip


class Seen(NamedTuple):
    """What one fault did; None where nobody was left to say."""

    sent: int
    answered: int
    counted: int | None
    errors: int
    events: int
    transactions: int
    dropped: str
    p99: float
    memory: float
    descriptors: int


@contextmanager
def service(fault: Fault, place: Path) -> Iterator[Service]:
    (place / "code").mkdir(parents=True)
    (place / "touched").touch()
    (place / "clock").write_text("0")
    with SentrySink(keep=100) as sentry, socket.socket() as silent, garbage() as garbage_port:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        words = {
            "{place}": str(place),
            "{sentry}": sentry.url,
            "{silent}": str(silent.getsockname()[1]),
            "{garbage}": str(garbage_port),
        }
        variables = {
            "SENTRY_DSN": sentry.dsn(), "XDG_RUNTIME_DIR": str(place), "SENTRY_TRACES_SAMPLE_RATE": "1.0",
            "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": f"{HERE}{os.pathsep}{APPS}", **fault.env,
        }  # fmt: skip
        variables = {name: _filled(value, words) for name, value in variables.items()}
        command = [_filled(part, words) for part in fault.command]
        with Launched(*command, env=variables, launcher=fault.launcher) as launched:
            try:
                launched.wait_ready()
                yield Service(launched, sentry, place)
            finally:
                _end_all(place, launched)


@contextmanager
def garbage() -> Iterator[int]:
    """A server that answers nonsense; yields its port."""

    class Nonsense(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(65536)
                self.request.sendall(b"\x00\xffHTTP/9.9 abc\r\nContent-Length: -1\r\n\r\n" + os.urandom(64))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Nonsense) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _end_all(place: Path, launched: Launched) -> None:
    """End the service's processes but the first, also those that left it: gunicorn's second master, a killed one's workers."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != launched.pid and process.environ().get("XDG_RUNTIME_DIR") == str(place):
                process.kill()


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
    """Return the requests by the objective's events: their rows are there from the start, also on a full disk."""
    return int(service.launched.sample("slo_events_total", slo_name="availability"))


def memory(service: Service) -> tuple[float, int]:
    rss, descriptors = 0, 0
    with suppress(psutil.Error):
        for process in (service.master, *service.workers):
            with suppress(psutil.Error):
                rss += process.memory_info().rss
                descriptors += process.num_fds()
    return rss / 1e6, descriptors


def dropped(service: Service) -> str:
    """Return what slotel says it lost, and its own faults by stage."""
    lost = [
        f"{labels.get('signal', 'all')} {labels.get('reason', 'where no room for a row was')} {value:g}"
        for labels, value in service.launched.samples("slotel_dropped_total")
        if value and labels.get("reason") != "library_variables"  # shortened on purpose
    ]
    faults = [
        f"stage {labels.get('stage', 'all')} {value:g}"
        for labels, value in service.launched.samples("slotel_stage_errors_total")
        if value
    ]
    return ", ".join(lost + faults) or "–"


def under(fault: Fault, place: Path, seconds: float) -> Seen:
    with service(fault, place) as running:
        load(running, 1)  # warm
        _settle(running, 5)
        before, counted_before = memory(running), _asked(counted, running) or 0
        events, transactions = running.sink.events, running.sink.transactions
        asked, failed = running.launched.requests, []

        def strike() -> None:
            try:
                fault.strikes(running)
            except psutil.Error:
                return  # the process that it is done to has just gone
            except Exception as error:
                failed.append(error)

        at_work = threading.Timer(seconds / 4, strike)
        at_work.start()
        sent, durations, errors = load(running, max(seconds, fault.lasts))
        at_work.join()
        if failed:
            raise failed[0]
        by_fault = running.launched.requests - asked - len(durations)  # it may ask, too
        total, after = _settle(running, 20), memory(running)
        p99 = statistics.quantiles(durations, n=100)[98] * 1000 if len(durations) > 1 else 0.0
        return Seen(
            sent + by_fault, len(durations) + by_fault, None if total is None else total - counted_before, errors, running.sink.events - events,
            running.sink.transactions - transactions, _asked(dropped, running) or "nobody is left to say", p99,
            after[0] - before[0], after[1] - before[1],
        )  # fmt: skip


def _settle(running: Service, seconds: float) -> int | None:
    """Wait until nothing more is counted or arrives; return what is counted."""
    seen: list[tuple[int | None, int, int]] = []

    def is_settled() -> bool:
        seen.append((_asked(counted, running), running.sink.events, running.sink.transactions))
        time.sleep(0.5)
        return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

    with suppress(AssertionError):
        wait_until(is_settled, "the counts settle", seconds)
    return seen[-1][0]


def _asked(question, running):
    """Return the answer of /metrics; None if nobody serves it any more."""
    for _ in range(3):
        with suppress(OSError):
            return question(running)
        time.sleep(1)
    return None


def row(fault: Fault, place: Path, seconds: float, base: float) -> tuple[str, float]:
    """Return a line of the table and the p99 of it."""
    try:
        seen = under(fault, place, seconds)
    except Exception as error:
        return (
            f"| {fault.name} | **not measured: {type(error).__name__}: {str(error).splitlines()[0]:.100}** |"
            + " |" * 10,
            0.0,
        )
    cells = (
        fault.name, f"{seen.sent:,}", f"{seen.answered:,}", "–" if seen.counted is None else f"{seen.counted:,}", seen.errors,
        seen.events, f"{seen.transactions:,}", seen.dropped, f"{seen.p99:.0f}", f"{seen.p99 / (base or seen.p99 or 1):.1f}",
        f"{seen.memory:+.1f}", f"{seen.descriptors:+d}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |", seen.p99


def ways(place: Path, is_late) -> Iterator[str]:
    """Yield the second table: what processes that are made in different ways count."""
    yield "| processes made by | ended | counted |"
    yield "| --- | ---: | ---: |"
    for way in WAYS:
        if is_late():
            continue
        expected, seen = -1, -1
        variables = {"XDG_RUNTIME_DIR": str(place), "OTEL_TRACES_EXPORTER": "none"}
        with Launched(sys.executable, str(HERE / "processes.py"), *way.split(), env=variables) as launched:
            with suppress(AssertionError):
                wait_until(lambda: "done" in launched.log, "all are done", 300)
                expected = int(launched.log.rpartition("done ")[2].split()[0])
                deadline = time.monotonic() + 10
                while seen != expected and time.monotonic() < deadline:
                    time.sleep(0.2)
                    with suppress(OSError):
                        seen = int(launched.sample("traces_span_metrics_calls_total"))
            yield (
                f"| {way} | {expected} | {seen} |"
                if expected >= 0
                else f"| {way} | **not done in 300 s** | – |"
            )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=6.0, help="of load for each fault")
    options.add_argument("--minutes", type=float, default=20.0, help="after which no further fault is tried")
    options.add_argument("--only", default="", help="faults whose name this pattern finds")
    options.add_argument("--write", action="store_true", help="into docs/reliability.md")
    found = options.parse_args()
    begun = time.monotonic()

    def is_late() -> bool:
        return time.monotonic() - begun > found.minutes * 60

    lines = [f"| {' | '.join(HEAD)} |", f"| {' | '.join(['---'] + ['---:'] * (len(HEAD) - 1))} |"]
    print("\n".join(lines), flush=True)
    place = Path(os.environ.get("TMPDIR", "/tmp")) / f"slotel-reliability-{os.getpid()}"
    base, left = 0.0, []
    for number, fault in enumerate(FAULTS):
        if found.only and not re.search(found.only, fault.name) and fault.name != "none":
            continue
        why = fault.needs() or ("no time left" if is_late() else "")
        if why:
            left.append(f"{fault.name} ({why})")
            continue
        line, p99 = row(fault, place / str(number), found.seconds, base)
        base = base or p99
        lines.append(line)
        print(line, flush=True)
    if not found.only or re.search(found.only, "processes"):
        (place / "ways").mkdir(parents=True, exist_ok=True)
        lines.append("")
        for line in ways(place / "ways", is_late):
            lines.append(line)
            print(line, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    lines += [
        "",
        f"Not measured in this run: {'; '.join(left) or 'nothing'}. {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}.",
    ]
    print(lines[-1])
    if found.write:
        before, _, rest = PAGE.read_text().partition(MARK)
        after = rest.partition(MARK)[2]
        PAGE.write_text(f"{before}{MARK}\n\n" + "\n".join(lines) + f"\n\n{MARK}{after}")


if __name__ == "__main__":
    main()
