"""Checks the installed packages: OpenTelemetry's, other distributions, and versions that slotel does not support."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from slotel.runtime.finding import Finding
from slotel.version import __version__

LAUNCHER: Final = "opentelemetry-instrument"
_AGENTS: Final = {
    "DD_TRACE_ENABLED": "ddtrace",
    "DD_SERVICE": "ddtrace",
    "NEW_RELIC_LICENSE_KEY": "newrelic",
    "NEW_RELIC_CONFIG_FILE": "newrelic",
    "ELASTIC_APM_SERVER_URL": "elastic-apm",
    "SCOUT_KEY": "scout-apm",
}
"""Variables of other agents, and the packages that read them."""
_CHOICES: Final = ("OTEL_PYTHON_DISTRO", "OTEL_PYTHON_CONFIGURATOR")


def versions() -> Iterator[Finding]:
    """Every requirement of slotel against what is installed."""
    wrong = list(unsupported())
    yield from wrong
    if not wrong:
        names = ("opentelemetry-sdk", "opentelemetry-instrumentation", "sentry-sdk")
        known = ", ".join(f"{name} {version(name)}" for name in names)
        yield Finding("packages", "ok", f"slotel {__version__}, {known}, Python {platform.python_version()}")


def unsupported() -> Iterator[Finding]:
    """Yield each requirement of slotel that is not met."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in importlib.metadata.requires("slotel") or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker and not requirement.marker.evaluate():
            continue
        found = version(requirement.name)
        if found is None:
            text = f"{requirement.name} is not installed"
        elif not requirement.specifier.contains(found, prereleases=True):
            text = f"{requirement.name} {found} is installed, slotel needs {requirement.specifier}"
        else:
            continue
        fix = f"run: pip install '{requirement.name}{requirement.specifier}'"
        yield Finding("packages", "fail", text, fix, "SLO110")


def auto_instrumentation() -> Iterator[Finding]:
    """Whether `opentelemetry-instrument` is there, and is this environment's."""
    beside = Path(sys.executable).with_name(LAUNCHER)
    found = shutil.which(LAUNCHER)
    if found is None and not beside.exists():
        fix = "activate the environment that slotel is installed in"
        yield Finding("auto-instrumentation", "fail", f"{LAUNCHER} is not on PATH", fix, "SLO113")
    elif found is not None and beside.exists() and Path(found).resolve() != beside.resolve():
        text = f"{LAUNCHER} on PATH is {found}, of another environment than {sys.executable}"
        yield Finding("auto-instrumentation", "warn", text, f"start the service with {beside}", "SLO113")
    else:
        yield Finding("auto-instrumentation", "ok", str(found or beside))


def distributions(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether `opentelemetry-instrument` will load slotel and nothing else."""
    installed = sorted({point.name for point in entry_points(group="opentelemetry_distro")})
    if "slotel" not in installed:
        text, fix = "slotel is not installed here", "run: pip install slotel"
        yield Finding("auto-instrumentation", "fail", text, fix, "SLO114")
        return
    chosen = {name: environ.get(name, "").strip() for name in _CHOICES}
    for name, value in chosen.items():
        if value not in {"", "slotel"}:
            text = f"{name}={value!r} selects another distribution"
            yield Finding("auto-instrumentation", "fail", text, "set it to slotel", "SLO112")
    if len(installed) > 1 and not all(chosen.values()):
        others = ", ".join(name for name in installed if name != "slotel")
        text = f"other distributions are installed ({others}), and which one is loaded is undefined"
        fix = " ".join(f"{name}=slotel" for name in _CHOICES)
        yield Finding("auto-instrumentation", "warn", text, f"set {fix}", "SLO111")


def interpreter(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether this interpreter is the active environment's: findings about another one would not apply."""
    active = environ.get("VIRTUAL_ENV", "").strip() or environ.get("CONDA_PREFIX", "").strip()
    if active and Path(active).resolve() != Path(sys.prefix).resolve():
        text = f"the active environment is {active}, and this is {sys.prefix}"
        yield Finding("packages", "warn", text, "run: python -m slotel doctor", "SLO115")


def other_agents(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether another vendor's agent would instrument the same libraries."""
    named = [name for variable, name in _AGENTS.items() if environ.get(variable, "").strip()]
    path = environ.get("PYTHONPATH", "")
    loaded = [name for name in ("ddtrace", "newrelic") if f"{name}{os.sep}bootstrap" in path]
    for name in dict.fromkeys((*named, *loaded)):
        if name in loaded or version(name) is not None:
            text = f"{name}, another tracing agent, is active: both instrument the same libraries"
            yield Finding("auto-instrumentation", "warn", text, f"start the service without {name}", "SLO116")


def version(package: str) -> str | None:
    """Return the installed version of a distribution, None if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
