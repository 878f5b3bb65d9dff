"""A trial: starts the service as in production, asks it, and reports what was instrumented, counted and sent."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import urllib3

from slotel.cli.doctor.machine import ports_of
from slotel.cli.local import free_port, read_samples
from slotel.cli.sink.server import SentrySink
from slotel.config import names
from slotel.runtime.checks.packages import LAUNCHER
from slotel.runtime.finding import STARTED, Finding

START_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 10.0
_ACCESS: Final = ("SLOTEL_METRICS_TOKEN_FILE", "SLOTEL_METRICS_WEB_CONFIG")
_OWN_PROVIDER: Final = "Overriding of current TracerProvider is not allowed"
"""OpenTelemetry's log line when a second provider is set."""


def trial(
    command: Sequence[str],
    paths: Sequence[str],
    url: str | None,
    environ: Mapping[str, str],
    own_sentry: bool,
) -> Iterator[Finding]:
    """Start a command, request the paths, yield what came of it; the command is ended with SIGTERM.

    With `own_sentry` events go to a sink of this process, and not to SENTRY_DSN.
    """
    if shutil.which(command[0], path=environ.get("PATH")) is None:
        fix = "check its name, and whether the environment of the service is active"
        yield Finding("trial", "fail", f"{command[0]}: command not found", fix, "SLO172")
        return
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(SentrySink()) if own_sentry else None
        metrics = free_port()
        variables = dict(environ)
        variables.update(
            OTEL_EXPORTER_PROMETHEUS_PORT=str(metrics), OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1"
        )
        for name in _ACCESS:  # its own loopback port is asked without credentials
            variables.pop(name, None)
        if sink is not None:
            variables["SENTRY_DSN"] = sink.dsn("1")
        log = stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(  # noqa: S603 the user's own command
            [_launcher(), *command],
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(_end, process)
        first, *others = paths or ("/",)
        base, status = _first_answer(process, metrics, first, url)
        log.seek(0)
        output = log.read().decode(errors="replace").splitlines()
        log.seek(0, os.SEEK_END)
        yield from _said(output)
        if base is None:
            yield _no_answer(command, process, output)
            return
        statuses = [(first, status), *((path, _get(base + path)) for path in others)]
        for path, status in statuses:
            if status is None:
                yield Finding("trial", "fail", f"GET {path}: no answer", code="SLO172")
            else:
                yield Finding("trial", "ok", f"GET {path}: {status}")
        sent = sum(status is not None for _, status in statuses)
        yield from _counted(metrics, sent)
        if sink is not None:
            sink.wait_for(lambda it: it.transactions >= sent, SETTLE_SECONDS / 2)
        _end(process)
        if sink is not None:
            yield from _received(sink)


def _counted(metrics: int, sent: int) -> Iterator[Finding]:
    """Compare what was sent with what was counted."""
    deadline = time.monotonic() + SETTLE_SECONDS
    counted, outcomes = 0.0, {}
    while time.monotonic() < deadline:
        outcomes = _outcomes(metrics)
        counted = sum(outcomes.values())
        if counted >= sent:
            break
        time.sleep(0.1)
    shown = (
        ", ".join(f"{value:g} {outcome}" for outcome, value in sorted(outcomes.items()) if value) or "none"
    )
    if sent and not counted:
        yield Finding(
            "trial",
            "fail",
            f"{_number(sent, 'request')} sent, none counted",
            "run: slotel bootstrap",
            "SLO171",
        )
    elif counted < sent:
        yield Finding("trial", "warn", f"{_number(sent, 'request')} sent, counted: {shown}", "", "SLO171")
    else:
        yield Finding("trial", "ok", f"{_number(sent, 'request')} sent, counted: {shown}")


def _outcomes(metrics: int) -> dict[str, float]:
    """Return the counts of the first objective by outcome."""
    try:
        samples = read_samples(f"http://127.0.0.1:{metrics}/metrics")
    except OSError:
        return {}
    events = [(labels, value) for name, labels, value in samples if name == f"{names.SLO_EVENTS}_total"]
    found: dict[str, float] = {}
    for labels, value in events:
        if labels[names.LABEL_SLO] == events[0][0][names.LABEL_SLO]:
            outcome = labels[names.LABEL_OUTCOME]
            found[outcome] = found.get(outcome, 0.0) + value
    return found


def _received(sink: SentrySink) -> Iterator[Finding]:
    named = sorted({str(each.get("transaction")) for each in sink.payloads("transaction")})
    shown = f": {', '.join(named)}" if named else ""
    yield Finding(
        "trial",
        "ok" if named else "info",
        f"{_number(sink.transactions, 'transaction')}{shown}; {_number(sink.events, 'error event')}",
    )


def _number(count: int, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"


def _said(output: Sequence[str]) -> Iterator[Finding]:
    """Yield what slotel said at its start, and what OpenTelemetry did."""
    if any(_OWN_PROVIDER in line for line in output):
        text = "the app sets a tracer provider of its own, which OpenTelemetry refuses: slotel's stays"
        yield Finding(
            "trial", "warn", text, "remove that code; its exporters can be set by OTEL_* variables", "SLO174"
        )
    for line in output:
        level, _, text = line.partition(" slotel: ")
        if text and level in ("INFO", "WARNING", "ERROR"):
            status = {"INFO": "info", "WARNING": "warn", "ERROR": "fail"}[level]
            text, _, code = text.removesuffix("]").partition(" [SLO")
            yield Finding(STARTED, status, text, code=f"SLO{code}" if code else "")  # type: ignore[arg-type]


def _first_answer(
    process: subprocess.Popen[bytes], metrics: int, path: str, url: str | None
) -> tuple[str | None, int | None]:
    """Return where the command listens and what it answers to the first request.

    Where it listens is given by the caller, or is the first port of its process group that speaks HTTP: what is sent
    to find it out is the first request itself, so that nothing else is counted.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        numbers = sorted(ports_of(_group(process.pid)) - {metrics})
        for base in [url.rstrip("/")] if url else [f"http://127.0.0.1:{number}" for number in numbers]:
            status = _get(base + path)
            if status is not None:
                return base, status
        time.sleep(0.1)
    return None, None


def _no_answer(command: Sequence[str], process: subprocess.Popen[bytes], output: Sequence[str]) -> Finding:
    why = f"it ended with {process.returncode}" if process.poll() is not None else "it answers on no port"
    last = "".join(f"\n         {line}" for line in output[-10:])
    fix = "read its output; name its address with --url"
    return Finding("trial", "fail", f"{' '.join(command)}: {why}{last}", fix, "SLO172")


def _group(leader: int) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(process.name)) == leader:
                yield int(process.name)


def _get(url: str) -> int | None:
    """Return the status of the answer, None without one. A redirect is an answer: only what was asked for is sent."""
    with urllib3.PoolManager() as pool, contextlib.suppress(urllib3.exceptions.HTTPError):
        return pool.request("GET", url, timeout=10.0, retries=False, redirect=False).status
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


def _launcher() -> str:
    beside = Path(sys.executable).with_name(LAUNCHER)
    return str(beside) if beside.exists() else LAUNCHER
