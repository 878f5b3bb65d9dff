"""Logs a line when the app imports a framework that nothing instruments."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Mapping
from typing import Any, Final

import wrapt

from slotel.runtime.finding import Finding, Status, log
from slotel.runtime.upstream.jobs.libraries import RUNNERS
from slotel.runtime.upstream.servers import PLACES

AT_THE_SERVER: Final = {
    "aiohttp-server": "aiohttp.web",
    "django": "django.core.handlers.base",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "pyramid": "pyramid.config",
    "starlette": "starlette.applications",
}
"""Instrumentation → the module that an app of the framework imports. Their requests are counted at the server."""
NOT_AT_ALL: Final = {
    "celery": "celery.bin.worker",
    "grpc": "grpc._server",  # imported when a server is made
    "tornado": "tornado.web",
}
"""The same of frameworks that are servers themselves."""
_OF_PROMETHEUS: Final = "wsgiref.simple_server"
"""prometheus_client imports it, in every service."""
_OF_FLASK: Final = "werkzeug.serving"
"""Flask imports it with every server."""
CONSUMERS: Final = {
    "aio-pika": "aio_pika",
    "aiokafka": "aiokafka",
    "celery": "celery.worker",
    "confluent-kafka": "confluent_kafka",
    "kafka-python": "kafka",
    "pika": "pika",
}
"""Instrumentation → the module that an app imports which gets messages by that library."""
_SERVING: Final = frozenset(
    {*AT_THE_SERVER.values(), *NOT_AT_ALL.values(), *(place.module for place in PLACES)}
) - {_OF_PROMETHEUS}
DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_CODE: Final = "SLO130"


def watch_frameworks(environ: Mapping[str, str]) -> None:
    """Log, when the app imports a framework, that its instrumentation is missing or disabled."""
    disabled = {name.strip() for name in environ.get(DISABLED, "").split(",")}
    for name, module in {**AT_THE_SERVER, **NOT_AT_ALL}.items():
        is_disabled = name in disabled or "*" in disabled
        wrapt.register_post_import_hook(functools.partial(_tell, name, is_disabled), module)


def serves() -> bool:
    """Return whether this process has imported a server or framework that slotel counts at or has warned of."""
    return any(module in sys.modules for module in _SERVING)


def runs_jobs() -> bool:
    """Return whether this process has imported a server, or what runs jobs that slotel or an instrumentation counts."""
    counted = {*(runner.module for runner in RUNNERS), *(place.module for place in PLACES)}
    return not (counted - {_OF_PROMETHEUS, _OF_FLASK}).isdisjoint(sys.modules) or any(
        module in sys.modules and _is_installed(name) for name, module in CONSUMERS.items()
    )


def missing(name: str) -> Finding:
    """Return the finding for a framework without an instrumentation."""
    text = f"no instrumentation installed for {name}: {_consequence(name)}"
    status: Status = "fail" if name in NOT_AT_ALL else "warn"
    return Finding("instrumentation", status, text, "run: slotel bootstrap", _CODE)


def switched_off(name: str) -> Finding:
    """Return the finding for a framework whose instrumentation is disabled."""
    text = f"{DISABLED} disables {name}: {_consequence(name)}"
    return Finding("instrumentation", "warn", text, "remove it from the list", "SLO133")


def _consequence(name: str) -> str:
    if name in NOT_AT_ALL:
        return "requests to it are not traced or counted"
    return "its requests are counted at the server, without routes"


def _tell(name: str, is_disabled: bool, _module: Any) -> None:
    if is_disabled:
        log([switched_off(name)])
    elif not _is_installed(name) and not _makes_spans_itself(name):
        log([missing(name)])


def _makes_spans_itself(name: str) -> bool:
    """Whether a framework makes spans itself: FastAPI from 0.165 on, and Starlette within it."""
    if name not in {"fastapi", "starlette"} or "fastapi" not in sys.modules:
        return False
    return name == "starlette" or importlib.util.find_spec("fastapi.telemetry") is not None


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(f"opentelemetry.instrumentation.{name.replace('-', '_')}") is not None
    except (ImportError, ValueError):
        return False
