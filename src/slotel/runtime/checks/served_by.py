"""Which frameworks serve requests here that no instrumentation sees. Imports nothing that a start does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

import wrapt

from slotel.runtime.finding import Finding, log

SERVING: Final = {
    "aiohttp-server": "aiohttp", "celery": "celery", "django": "django", "falcon": "falcon", "fastapi": "fastapi",
    "flask": "flask", "grpc": "grpcio", "pyramid": "pyramid", "starlette": "starlette", "tornado": "tornado",
}  # fmt: skip
"""Instrumentation → the library whose requests nobody counts without it."""
SERVED_BY: Final = {
    "aiohttp-server": "aiohttp.web", "celery": "celery.worker", "django": "django.core.handlers.base",
    "falcon": "falcon", "fastapi": "fastapi", "flask": "flask", "grpc": "grpc._server", "pyramid": "pyramid.router",
    "starlette": "starlette.applications", "tornado": "tornado.web",
}  # fmt: skip
"""Instrumentation → the module that a process imports when it serves requests with the library."""
_CONSEQUENCE: Final = "requests to it have no routes, or are not counted at all"
DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


def say_when_served(environ: Mapping[str, str]) -> None:
    """Log it when the app imports a framework whose requests no instrumentation sees: a look at the entry points."""
    installed = {point.name for point in entry_points(group="opentelemetry_instrumentor")}
    disabled = {name.strip() for name in environ.get(DISABLED, "").split(",") if name.strip()}
    for name, module in SERVED_BY.items():
        finding = None
        if "*" in disabled or name in disabled:
            finding = disabled_finding(name)
        elif name not in installed and not (name == "starlette" and "fastapi" in installed):
            finding = missing_finding([SERVING[name]])
        if finding is not None:
            wrapt.register_post_import_hook(_saying(finding), module)


def _saying(finding: Finding) -> Callable[[Any], None]:
    return lambda _module: log([finding])


def missing_finding(libraries: list[str]) -> Finding:
    """Return the finding about libraries whose instrumentation is not installed."""
    text = f"no instrumentation installed for {', '.join(sorted(set(libraries)))}: {_CONSEQUENCE}"
    return Finding("instrumentation", "fail", text, "run: slotel bootstrap", "SLO130")


def disabled_finding(name: str) -> Finding:
    """Return the finding about an instrumentation that is switched off."""
    text = f"{DISABLED} disables {name}: {_CONSEQUENCE}"
    return Finding("instrumentation", "warn", text, "remove it from the list", "SLO133")
