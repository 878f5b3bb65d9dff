"""What `slotel doctor` examines, one function for each finding. Prints nothing."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from opentelemetry.util._importlib_metadata import entry_points

from slotel.config import names
from slotel.config.service import Reading
from slotel.version import __version__

TIMEOUT: Final = 3.0
DEFAULT_PORT: Final = "9464"
_LAUNCHER: Final = "opentelemetry-instrument"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        status: `fail` makes the command exit with 1; `warn` is worth a look.
        fix: what to type or to set.
    """

    subject: str
    status: Literal["ok", "warn", "fail"]
    text: str
    fix: str = ""


def examine(reading: Reading, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield every finding; an examination that fails is itself a finding."""
    yield from _configuration(reading)
    looks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("packages", _packages),
        ("launcher", lambda: _launcher(environ)),
        ("exporters", lambda: _exporters(environ)),
        ("instrumentation", _instrumentation),
        ("sentry", lambda: _sentry(environ)),
        ("metrics", lambda: _metrics(environ)),
    )
    for subject, look in looks:
        try:
            yield from look()
        except Exception as error:  # noqa: BLE001 a look that fails is a finding
            yield Finding(subject, "warn", f"could not be examined: {type(error).__name__}: {error}")


def _configuration(reading: Reading) -> Iterator[Finding]:
    for problem in reading.problems:
        yield Finding("configuration", "fail", problem.place, problem.expectation)
    for note in reading.notes:
        yield Finding("configuration", "warn", note)
    if not reading.problems:
        objectives = ", ".join(f"{slo.name} {slo.objective * 100:.6g}%" for slo in reading.service.slos)
        yield Finding("configuration", "ok", f"objectives: {objectives}")


def _packages() -> Iterator[Finding]:
    versions = {name: _version(name) for name in ("opentelemetry-sdk", "sentry-sdk")}
    known = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield Finding("packages", "ok", f"slotel {__version__}, {known}, Python {platform.python_version()}")


def _launcher(environ: Mapping[str, str]) -> Iterator[Finding]:
    beside = Path(sys.executable).with_name(_LAUNCHER)
    if shutil.which(_LAUNCHER) is None and not beside.exists():
        fix = "activate the environment that slotel is installed in"
        yield Finding("launcher", "fail", f"{_LAUNCHER} is not on PATH", fix)
    distros = sorted({point.name for point in entry_points(group="opentelemetry_distro")})
    chosen = environ.get("OTEL_PYTHON_DISTRO", "")
    if "slotel" not in distros:
        yield Finding("launcher", "fail", "slotel's entry point is not installed", "pip install slotel")
    elif chosen not in {"", "slotel"}:
        yield Finding(
            "launcher",
            "fail",
            f"OTEL_PYTHON_DISTRO={chosen!r} names another distribution",
            "set it to slotel",
        )
    elif len(distros) > 1 and not chosen:
        others = ", ".join(name for name in distros if name != "slotel")
        fix = "OTEL_PYTHON_DISTRO=slotel OTEL_PYTHON_CONFIGURATOR=slotel"
        yield Finding(
            "launcher", "warn", f"other distributions are installed too ({others}); which wins is chance", fix
        )
    else:
        yield Finding("launcher", "ok", "opentelemetry-instrument starts slotel")


def _exporters(environ: Mapping[str, str]) -> Iterator[Finding]:
    from slotel.runtime.setup.exporters import usable_exporters

    usable, problems = usable_exporters(environ)
    for problem in problems:
        yield Finding("exporters", "fail", problem.place, problem.expectation)
    if not problems:
        named = ", ".join(f"{variable}={value}" for variable, value in usable.items() if value != "none")
        yield Finding("exporters", "ok", named or "none beside Sentry and the metrics endpoint")


def _instrumentation() -> Iterator[Finding]:
    """Libraries that are here without the instrumentation that OpenTelemetry has for them."""
    from opentelemetry.instrumentation.bootstrap_gen import libraries

    missing: list[str] = []
    there: list[str] = []
    for known in libraries:
        library, package = (_bare(str(known[key])) for key in ("library", "instrumentation"))
        if _version(library) != "–":
            (missing if _version(package) == "–" else there).append(library)
    if missing:
        text = f"installed, but seen by nobody: {', '.join(sorted(set(missing)))}"
        yield Finding("instrumentation", "warn", text, "opentelemetry-bootstrap -a install")
    else:
        yield Finding(
            "instrumentation", "ok", ", ".join(sorted(set(there))) or "no known library is installed"
        )


def _sentry(environ: Mapping[str, str]) -> Iterator[Finding]:
    dsn = environ.get(names.SENTRY_DSN, "").strip()
    if not dsn:
        fix = "set SENTRY_DSN to your project's DSN (Sentry or GlitchTip)"
        yield Finding("sentry", "warn", "off: SENTRY_DSN is not set", fix)
        return
    parts = urlsplit(dsn)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.username
        or not parts.hostname
        or not parts.path.strip("/")
    ):
        yield Finding(
            "sentry", "fail", "SENTRY_DSN is no DSN", "write it as https://PUBLIC_KEY@HOST/PROJECT_ID"
        )
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    project = parts.path.rsplit("/", 1)[-1]
    try:
        socket.create_connection((parts.hostname, port), timeout=TIMEOUT).close()
    except OSError as error:
        fix = "check the host, a firewall or a proxy; events are dropped (and counted) while it lasts"
        yield Finding("sentry", "fail", f"{parts.hostname}:{port} cannot be reached: {error}", fix)
        return
    yield Finding("sentry", "ok", f"{parts.hostname}:{port} answers, project {project}")


def _metrics(environ: Mapping[str, str]) -> Iterator[Finding]:
    host = environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "localhost")
    port = environ.get("OTEL_EXPORTER_PROMETHEUS_PORT", DEFAULT_PORT)
    if not port.isdigit():
        yield Finding("metrics", "fail", f"OTEL_EXPORTER_PROMETHEUS_PORT={port!r}", "write a port number")
        return
    try:
        socket.create_connection((host, int(port)), timeout=TIMEOUT).close()
    except OSError:
        yield Finding("metrics", "ok", f"{host}:{port} is free for the metrics endpoint")
        return
    url = f"http://{host}:{port}/metrics"
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        text = answer.read(1_000_000).decode(errors="replace")
    if names.BUILD_INFO in text:
        yield Finding("metrics", "ok", f"a slotel service answers at {url}")
    else:
        fix = "set OTEL_EXPORTER_PROMETHEUS_PORT to a free port"
        yield Finding("metrics", "fail", f"{host}:{port} is held by something that is not slotel", fix)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "–"


def _bare(requirement: str) -> str:
    """The name in `flask >= 1.0` or `opentelemetry-instrumentation-flask==0.66b1`."""
    for mark in "<>=!~[; ":
        requirement = requirement.split(mark, maxsplit=1)[0]
    return requirement.strip()
