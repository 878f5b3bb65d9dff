"""The machine: who has the metrics port, and where workers share their counts."""

from __future__ import annotations

import contextlib
import errno
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from slotel.config import names
from slotel.config.service import Reading
from slotel.runtime.finding import Finding
from slotel.runtime.metrics.scrape.http import port as ports
from slotel.runtime.setup.exporters import wants_prometheus

TIMEOUT: Final = 3.0
_LISTEN: Final = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def port(reading: Reading, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the metrics port can be bound, as a start would bind it; if not, which process has it."""
    if not wants_prometheus(environ):
        return
    host, number, _ = ports.read_address(environ)
    try:
        taken = ports.take(host, number)
    except OSError as error:
        yield _taken(error, host, number, reading, environ)
        return
    bound = sorted({str(listener.getsockname()[0]) for listener in taken})
    ports.release(taken)
    yield Finding("metrics", "ok", f"port {number} is free on {', '.join(bound)}")


def _taken(error: OSError, host: str, number: int, reading: Reading, environ: Mapping[str, str]) -> Finding:
    found = ports.explain(error, host, number)
    if error.errno != errno.EADDRINUSE:
        return found
    owners = (
        ", ".join(f"pid {pid} ({name})" for pid, name in owners_of(number)) or "a process of another user"
    )
    other = _slotel_service(host, number)
    if other is None:
        return found._replace(text=f"{found.text}: {owners}")
    own = environ.get("OTEL_SERVICE_NAME", "").strip() or reading.service.name or "unknown_service"
    if other == own:
        return Finding("metrics", "ok", f"this service runs already: {owners} serves port {number}")
    return found._replace(text=f"{found.text}: the service {other!r}, {owners}")


def _slotel_service(host: str, number: int) -> str | None:
    """Return the name of the slotel service that answers on a port; None if it is no slotel."""
    shown = f"[{host}]" if ":" in host else host
    try:
        with urllib.request.urlopen(f"http://{shown}:{number}/metrics", timeout=TIMEOUT) as answer:
            text = str(answer.read(1_000_000), errors="replace")
    except (OSError, ValueError):
        return None
    if names.BUILD_INFO not in text:
        return None
    for line in text.splitlines():
        if line.startswith("target_info{"):
            return line.partition('service_name="')[2].partition('"')[0]
    return ""


def owners_of(number: int) -> Iterator[tuple[int, str]]:
    """Yield pid and name of each process that listens on a port, as far as this user may see (Linux)."""
    sockets = {inode for port, inode in _listening() if port == number}
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        with contextlib.suppress(OSError):
            if not sockets.isdisjoint(_held_by(process.name)):
                yield int(process.name), (process / "comm").read_text().strip()


def ports_of(pids: Iterable[int]) -> set[int]:
    """Return the ports that processes listen on (Linux)."""
    held = {each for pid in pids for each in _held_by(pid)}
    return {number for number, inode in _listening() if inode in held}


def _held_by(pid: int | str) -> Iterator[str]:
    """Yield what the descriptors of a process are: `socket:[inode]`, or the path of a file."""
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(each.readlink())


def _listening() -> Iterator[tuple[int, str]]:
    """Yield port and socket (`socket:[inode]`) of everything that listens."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    yield int(fields[1].rpartition(":")[2], 16), f"socket:[{fields[9]}]"
