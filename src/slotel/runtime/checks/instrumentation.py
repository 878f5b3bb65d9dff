"""Checks which installed libraries have an OpenTelemetry instrumentation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from slotel.runtime.checks.packages import version
from slotel.runtime.finding import Finding
from slotel.runtime.setup.tested import ALWAYS, LEFT_OUT, bare_name, is_reason, tested_set
from slotel.runtime.setup.uninstrumented import AT_THE_SERVER, DISABLED, NOT_AT_ALL, missing, switched_off

SERVING: Final = frozenset({*AT_THE_SERVER, *NOT_AT_ALL})
"""Instrumentations of what serves requests."""
_ONLY_IN_USE: Final = frozenset({"aiohttp-server", "grpc", "tornado"})
"""Libraries that a service often has installed without serving with them: a start logs a finding when they are used."""

_ANYWAY: Final = frozenset({"jinja2", "tortoiseorm", "asgi"})
"""Instrumentations that are not needed."""


def coverage(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which installed libraries have an instrumentation, which are disabled, and which are out of its range."""
    installed = {point.name: point for point in entry_points(group="opentelemetry_instrumentor")}
    disabled = {name.strip() for name in environ.get(DISABLED, "").split(",") if name.strip()}
    without, there, serving = [], [], 0
    for each in tested_set():
        libraries = [bare_name(text) for text in each.libraries if text != ALWAYS and is_reason(each, text)]
        library = next((name for name in libraries if version(name) is not None), None)
        if library is None or each.short in LEFT_OUT:
            continue
        if version(each.package) is not None:
            there.append(each.short)
        elif each.short in SERVING and each.short not in _ONLY_IN_USE:
            serving += 1
            yield missing(each.short)
        elif each.short not in _ANYWAY:
            without.append(library)
    if without:
        text = f"no instrumentation installed for {', '.join(sorted(set(without)))}: its calls have no spans"
        yield Finding("instrumentation", "warn", text, "run: slotel bootstrap", "SLO131")
    if disabled:
        yield from _disabled(disabled, installed)
    yield from _out_of_range(installed, disabled)
    if not serving and not without:
        yield Finding(
            "instrumentation", "ok", ", ".join(sorted(set(there))) or "no known library is installed"
        )


def _disabled(disabled: set[str], installed: Mapping[str, Any]) -> Iterator[Finding]:
    if "*" in disabled:
        yield Finding("instrumentation", "fail", f"{DISABLED}=* disables all of them", "remove it", "SLO133")
        return
    for name in sorted(disabled):
        if name in SERVING and name in installed:
            yield switched_off(name)
        elif name not in installed:
            text = f"{DISABLED} names {name}, which is not installed"
            yield Finding("instrumentation", "info", text, "remove it from the list", "SLO133")


def _out_of_range(installed: Mapping[str, Any], disabled: set[str]) -> Iterator[Finding]:
    from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

    for name, point in sorted(installed.items()):
        if name in disabled or point.dist is None:
            continue
        conflict = get_dist_dependency_conflicts(point.dist)
        found = getattr(conflict, "found", None) if conflict is not None else None
        if found:  # a library that is not installed is no conflict
            text = f"{found} is installed, the instrumentation {name} supports {conflict.required}"  # type: ignore[union-attr]
            status = "fail" if name in SERVING else "warn"
            yield Finding("instrumentation", status, text, "install a version in this range", "SLO132")  # type: ignore[arg-type]


def django(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether Django's settings can be found where DJANGO_SETTINGS_MODULE names them."""
    named = environ.get("DJANGO_SETTINGS_MODULE", "").strip()
    if not named or version("django") is None:
        return
    relative = Path(*named.split("."))
    places = [Path.cwd(), *(Path(each) for each in environ.get("PYTHONPATH", "").split(os.pathsep) if each)]
    if any((place / relative).with_suffix(".py").exists() or (place / relative).is_dir() for place in places):
        yield Finding("django", "ok", f"settings {named}")
        return
    from importlib.util import find_spec

    try:
        found = find_spec(named) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        text = f"DJANGO_SETTINGS_MODULE={named} cannot be imported from {Path.cwd()}"
        yield Finding("django", "fail", text, "start the service in the project's folder", "SLO135")
