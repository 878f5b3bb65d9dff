"""The faults of docs/reliability.md: what each does to a service, and which service it is done to."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from slotel.cli.sink.server import SentrySink
from support import wall_clock
from support.launch import OPENTELEMETRY_INSTRUMENT, Launched

HERE = Path(__file__).parent
GUNICORN = ("gunicorn", "-w", "4", "-k", "gthread", "--threads", "4", "-b", "127.0.0.1:{port}")
SYNC = (*GUNICORN, "flask_app:app")
GEVENT = ("gunicorn", "-w", "4", "-k", "gevent", "-b", "127.0.0.1:{port}", "flask_app:app")
FAULTY = (*GUNICORN, "faulty_app:app")
UVICORN = ("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning", "fastapi_app:app")
UVICORN += (
    "--timeout-worker-healthcheck",
    "60",
)  # it takes five seconds for dead, which a busy machine needs to start
UWSGI = (
    "pyuwsgi", "--http-socket", "127.0.0.1:{port}", "--master", "--processes", "4", "--die-on-term", "--virtualenv", sys.prefix,
    "--enable-threads", "--need-app", "--lazy-apps", "--py-call-uwsgi-fork-hooks", "--module", "flask_app:app",
    "--touch-chain-reload", "{place}/touched",
)  # fmt: skip
OTHERS = Path(__file__).parents[2] / ".venv-apps/bin"
UVLOOP = (str(OTHERS / "opentelemetry-instrument"), str(OTHERS / "uvicorn"), "--loop", "uvloop", *UVICORN[1:])
BEHIND_A_PROXY = {"http_proxy": "{sentry}", "SENTRY_DSN": "http://k@sentry.invalid/1"}
"""The sink takes the requests that a proxy is given, too."""
CLOCK = wall_clock.environ(Path("{place}/clock"))
NOWHERE = """
set -e
mount --make-rprivate /
for place in /tmp /var/tmp "$PWD"; do mount --bind "$place" "$place"; mount -o bind,remount,ro "$place"; done
mount -t tmpfs -o size=64k none /dev/shm
exec "$@"
"""
"""Nothing can be written but 64 kB in /dev/shm, which gunicorn itself wants."""
READ_ONLY = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    NOWHERE,
    "sh",
    str(OPENTELEMETRY_INSTRUMENT),
    *GUNICORN,
    "--worker-tmp-dir",
    "/dev/shm",
)


class Service(NamedTuple):
    """A service under load."""

    launched: Launched
    sink: SentrySink
    place: Path

    @property
    def master(self) -> psutil.Process:
        return psutil.Process(self.launched.pid)

    @property
    def workers(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return self.master.children()
        return []

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


class Fault(NamedTuple):
    """One row.

    Args:
        strikes: called a quarter of the way through the load.
        needs: why it cannot be done here; "" if it can.
        lasts: seconds for which there must be load.
        launcher: False where the command has opentelemetry-instrument in it.
    """

    name: str
    strikes: Callable[[Service], None] = nothing
    command: tuple[str, ...] = SYNC
    env: Mapping[str, str] = {}
    needs: Callable[[], str] = lambda: ""
    lasts: float = 0.0
    launcher: bool = True


# -- signals, and what servers do ------------------------------------------------------------------------------------


def kill_a_worker(service: Service) -> None:
    service.workers[0].kill()


def kill_the_holder(service: Service) -> None:
    holder = service.holder()
    holder.kill() if holder.pid != service.master.pid else service.workers[-1].kill()


def kill_every_worker(service: Service) -> None:
    for worker in service.workers:
        worker.kill()


def kill_the_master(service: Service) -> None:
    service.master.kill()


def told(number: signal.Signals, *more: signal.Signals) -> Callable[[Service], None]:
    def strikes(service: Service) -> None:
        for each in (number, *more):
            service.master.send_signal(each)

    return strikes


def upgrade(service: Service) -> None:
    """Gunicorn's USR2: a second master beside the first; then its workers go."""
    before = {worker.pid for worker in service.workers}
    service.master.send_signal(signal.SIGUSR2)
    time.sleep(3)
    for worker in service.workers:
        if worker.pid in before:
            worker.send_signal(signal.SIGTERM)


def two_at_once(service: Service) -> None:
    """The process that serves /metrics and the master, in the same moment: the workers are orphans."""
    processes = {service.holder().pid, service.master.pid}
    for pid in processes:
        os.kill(pid, signal.SIGKILL)


def steps(service: Service) -> None:
    """The wall clock goes a day ahead, then to an hour ago, then right again; each for two seconds."""
    for offset in ("86400", "-3600", "0"):
        (service.place / "clock").write_text(offset)
        time.sleep(2)


def stopped(seconds: float) -> Callable[[Service], None]:
    def strikes(service: Service) -> None:
        worker = service.workers[0]
        worker.suspend()
        time.sleep(seconds)
        worker.resume()

    return strikes


def storm(service: Service) -> None:
    for _ in range(200):
        for worker in service.workers:
            with suppress(psutil.Error):
                worker.send_signal(signal.SIGUSR1)  # gunicorn opens its logs again
        time.sleep(0.005)


def touch(service: Service) -> None:
    (service.place / "touched").touch()


def change_the_code(service: Service) -> None:
    (service.place / "code" / "changed.py").write_text("# changed\n")


# -- what the system refuses -------------------------------------------------------------------------------------------


def limited(kind: int, limit: Callable[[psutil.Process], int], every: bool) -> Callable[[Service], None]:
    """Give one worker, or every one, a limit for two seconds."""

    def strikes(service: Service) -> None:
        workers = service.workers if every else service.workers[:1]
        before = [worker.rlimit(kind) for worker in workers]
        for worker, (_, hard) in zip(workers, before, strict=True):
            worker.rlimit(kind, (limit(worker), hard))
        for number in range(50):  # names that are new need room
            with suppress(OSError):
                service.launched.get(f"/tags/new{number}")
        time.sleep(2)
        for worker, limits in zip(workers, before, strict=True):
            with suppress(psutil.Error):
                worker.rlimit(kind, limits)

    return strikes


def remove_directory(service: Service) -> None:
    for path in service.place.glob("slotel-*"):
        shutil.rmtree(path, ignore_errors=True)
    time.sleep(5.5)  # a tick


def read_only(service: Service) -> None:
    """Mount the place over itself: what is open there stays writable, nothing new can be made."""
    place = str(service.place)
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        kill_a_worker(service)
        time.sleep(2)
    finally:
        subprocess.run(["umount", place], check=True)


def other_environment() -> str:
    return "" if OTHERS.is_dir() else "without `make apps`"


def mountable() -> str:
    if os.geteuid() != 0:
        return "only root mounts"
    done = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True)
    return "" if done.returncode == 0 else "no mount here"


def flood_the_endpoint(service: Service) -> None:
    until = time.monotonic() + 2
    while time.monotonic() < until:
        for _ in range(50):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", service.launched.metrics_port), timeout=1).close()


# -- sinks -------------------------------------------------------------------------------------------------------------


def sentry(fault: str) -> Callable[[Service], None]:
    def strikes(service: Service) -> None:
        service.sink.set_fault(fault)  # type: ignore[arg-type]
        time.sleep(3)
        service.sink.set_fault("none")

    return strikes


def _stages() -> Iterator[Fault]:
    stages = ("open_spans", "decision", "metrics", "transactions", "errors", "redaction")
    for stage in stages:
        yield Fault(f"stage {stage} raises, always", command=FAULTY, env={"FAULT": f"raises:{stage}"})
    for kind, said in (("slow", "are slow by 5 ms"), ("garbage", "return garbage")):
        yield Fault(
            f"all these stages {said}, always", command=FAULTY, env={"FAULT": f"{kind}:{','.join(stages)}"}
        )
    yield Fault("the thread that sends hangs, always", command=FAULTY, env={"FAULT": "hangs:sender"})
    yield Fault("the thread that sends raises, always", command=FAULTY, env={"FAULT": "raises:sender"})
    preloaded = (*GUNICORN, "--preload", "faulty_app:app")  # the master serves /metrics
    yield Fault("/metrics raises, always", command=preloaded, env={"FAULT": "raises:exposition"})
    yield Fault("the ticker hangs, always", command=FAULTY, env={"FAULT": "hangs:ticker"})


FAULTS: tuple[Fault, ...] = (
    Fault("none"),
    Fault("SIGKILL of a worker", kill_a_worker),
    Fault("SIGKILL of the worker that serves /metrics", kill_the_holder),
    Fault("SIGKILL of every worker", kill_every_worker),
    Fault("SIGKILL of the master", kill_the_master),
    Fault("SIGKILL of the master and of what serves /metrics", two_at_once),
    Fault("gunicorn HUP", told(signal.SIGHUP)),
    Fault("gunicorn USR2, then the old workers end", upgrade),
    Fault("gunicorn TTIN, TTOU", told(signal.SIGTTIN, signal.SIGTTOU)),
    Fault("gunicorn --max-requests 50", command=(*GUNICORN, "--max-requests", "50", "flask_app:app")),
    Fault("gunicorn --preload, HUP", told(signal.SIGHUP), command=(*GUNICORN, "--preload", "flask_app:app")),
    Fault("gevent, SIGKILL of a worker", kill_a_worker, command=GEVENT),
    Fault("uvicorn --workers 2, SIGKILL of one", kill_a_worker, command=(*UVICORN, "--workers", "2")),
    Fault(
        "uvicorn on uvloop, --workers 2, SIGKILL of one", kill_a_worker, command=(*UVLOOP, "--workers", "2"),
        needs=other_environment, launcher=False,
    ),
    Fault(
        "uvicorn --reload, the code changes", change_the_code,
        command=(*UVICORN, "--reload", "--reload-dir", "{place}/code"),
    ),
    Fault("uWSGI chain-reload", touch, command=UWSGI),
    Fault("200 signals to each worker", storm),
    Fault("SIGSTOP of a worker for 2 s", stopped(2)),
    Fault("runtime directory removed", remove_directory, lasts=8),
    Fault("runtime directory read-only, a worker dies", read_only, needs=mountable),
    Fault(
        "nothing can be written, SIGKILL of a worker", kill_a_worker, command=(*READ_ONLY, "flask_app:app"),
        needs=mountable, launcher=False,
    ),
    Fault("the wall clock steps +1 d, -1 h and back", steps, env=CLOCK, needs=wall_clock.built, lasts=8),
    Fault("disk full for 2 s", limited(resource.RLIMIT_FSIZE, lambda _: 0, every=True)),
    Fault(
        "no address space left in a worker for 2 s",
        limited(resource.RLIMIT_AS, lambda worker: worker.memory_info().vms + 65536, every=False),
    ),
    Fault("no descriptor left in a worker for 2 s", limited(resource.RLIMIT_NOFILE, lambda w: w.num_fds(), every=False)),
    Fault("connect-and-close flood on /metrics", flood_the_endpoint),
    Fault("Sentry hangs for 3 s", sentry("hang")),
    Fault("Sentry is slow for 3 s", sentry("slow")),
    Fault("Sentry answers 500 for 3 s", sentry("500")),
    Fault("Sentry answers 429 for 3 s", sentry("429")),
    Fault("Sentry answers 403 for 3 s", sentry("403")),
    Fault("Sentry answers 413 for 3 s", sentry("413")),
    Fault("Sentry cuts connections for 3 s", sentry("reset")),
    Fault("Sentry refuses connections for 3 s", sentry("refuse")),
    Fault("the proxy before Sentry answers 407 for 3 s", sentry("407"), env=BEHIND_A_PROXY),
    Fault("the proxy before Sentry is away for 3 s", sentry("refuse"), env=BEHIND_A_PROXY),
    Fault("Sentry answers garbage, always", env={"SENTRY_DSN": "http://k@127.0.0.1:{garbage}/1"}),
    Fault("DNS hangs, always", command=FAULTY, env={"FAULT": "dns", "SENTRY_DSN": "http://k@sentry.invalid/1"}),
    Fault(
        "the collector takes no byte, always",
        env={"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:{silent}"},
    ),
    Fault(
        "the collector answers garbage, always",
        env={"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:{garbage}"},
    ),
    *_stages(),
    Fault("SIGSTOP of a worker for 60 s", stopped(60), lasts=62),
)  # fmt: skip

WAYS = (
    "fork", "threads", "spawn", "forkserver", "os._exit", "execv", "double fork", "daemon", "ProcessPoolExecutor",
    "posix_spawn", "subprocess with preexec_fn", "Pool with maxtasksperchild", "pty.fork", "fork with each lock held",
)  # fmt: skip
"""How a process makes others; see processes.py."""
