"""Tells of a framework that the app imports and nothing instruments: one line, when it is imported."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Mapping
from typing import Any, Final

import wrapt

from slotel.runtime.finding import Finding, log

AT_THE_SERVER: Final = {
    "django": "django.core.handlers.base",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "pyramid": "pyramid.config",
    "starlette": "starlette.applications",
}
"""Instrumentation → the module that an app of the framework imports. Their requests are counted at the server."""
NOT_AT_ALL: Final = {"aiohttp-server": "aiohttp.web", "celery": "celery.bin.worker", "tornado": "tornado.web"}
"""The same of frameworks that are servers themselves."""
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_CODE: Final = "SLO130"


def watch_frameworks(environ: Mapping[str, str]) -> None:
    """Tell of frameworks from now on; what the user has disabled is no news."""
    disabled = {name.strip() for name in environ.get(_DISABLED, "").split(",")}
    for name, module in {**AT_THE_SERVER, **NOT_AT_ALL}.items():
        if name not in disabled and "*" not in disabled:
            wrapt.register_post_import_hook(functools.partial(_tell, name), module)


def _tell(name: str, _module: Any) -> None:
    if _is_installed(name) or (name == "starlette" and "fastapi" in sys.modules):
        return
    fix = f"run: pip install opentelemetry-instrumentation-{name}"
    if name in NOT_AT_ALL:
        text = f"{name} is used and nothing instruments it: requests to it are not traced or counted"
        log([Finding("instrumentation", "fail", text, fix, _CODE)])
    else:
        text = f"{name} is used and nothing instruments it: its requests are counted at the server, without routes"
        log([Finding("instrumentation", "warn", text, fix, _CODE)])


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(f"opentelemetry.instrumentation.{name.replace('-', '_')}") is not None
    except (ImportError, ValueError):
        return False
