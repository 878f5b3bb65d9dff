"""Loads instrumentations: a web framework's when the app imports it, every other at once. One that fails is named."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import wrapt

from slotel.runtime.logs import LOG

_UPSTREAM: Final = logging.getLogger("opentelemetry.instrumentation.auto_instrumentation")

WAIT: Final = frozenset({"fastapi", "flask", "starlette"})
"""Instrumentations, and the modules of the same name, that only replace names of the module when it is there.

Loading one imports its framework: 0.05 to 0.2 s of CPU in a process that uses another one. Django and Celery change
settings or connect before their app is made; client libraries are mostly there anyway. These do not wait.
"""
_EXCLUDED_URLS: Final = ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
FRAMEWORKS: Final = frozenset({"django", *WAIT})
"""Instrumentations that measure a server's requests with a meter provider that they are given."""


def instrumentor_options(entry_point: Any) -> dict[str, Any]:
    """Return what an instrumentation is given beside the launcher's arguments."""
    from slotel.config.service import ASGI_MESSAGES
    from slotel.runtime.state import current

    runtime, name = current(), entry_point.name
    wanted = runtime.service.asgi_spans if runtime is not None else ()
    left_out = [message for message in ASGI_MESSAGES if message not in wanted]
    if name == "starlette" and left_out:
        _leave_out(sys.modules[entry_point.load().__module__], left_out)
    given: dict[str, Any] = {"exclude_spans": left_out} if name == "fastapi" else {}
    if name in FRAMEWORKS and runtime is not None and runtime.http_server_metrics is not None:
        given["meter_provider"] = runtime.http_server_metrics
    return given


def skip_flask_url_exclusion(name: str, environ: Mapping[str, str]) -> None:
    """Spare Flask's requests three looks at a list of excluded URLs that is empty.

    Each look builds the request's whole URL, 20 us in all. `None` means the same to the instrumentation and costs
    nothing, but no argument sets it: an empty one becomes an empty list.
    """
    if name != "flask" or any(environ.get(variable, "").strip() for variable in _EXCLUDED_URLS):
        return
    app = getattr(sys.modules.get("opentelemetry.instrumentation.flask"), "_InstrumentedFlask", None)
    if hasattr(app, "_excluded_urls"):
        app._excluded_urls = None  # type: ignore[union-attr]  # noqa: SLF001 see above


def _leave_out(instrumentation: Any, messages: list[str]) -> None:
    """Replace the middleware of Starlette's instrumentation, which cannot be told what to leave out.

    See open-telemetry/opentelemetry-python-contrib#3725.
    """

    class Middleware(instrumentation.OpenTelemetryMiddleware):  # type: ignore[misc]  # known at run time only
        def __init__(self, app: Any, **kwargs: Any) -> None:
            super().__init__(app, **{"exclude_spans": messages, **kwargs})

    instrumentation.OpenTelemetryMiddleware = Middleware


def load(entry_point: Any, instrument: Callable[[], None]) -> None:
    """Instrument one library, now or when it is imported.

    Raises:
        ImportError: of an instrumentation that does not wait; the launcher skips it and says so.
    """
    if entry_point.name in WAIT:
        wrapt.register_post_import_hook(
            lambda _module: _when_imported(entry_point.name, instrument), entry_point.name
        )
        return
    try:
        instrument()
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 one broken instrumentation must not end all
        _failed(entry_point.name, error)


def _when_imported(name: str, instrument: Callable[[], None]) -> None:
    try:
        instrument()
    except ModuleNotFoundError as error:  # as the launcher does
        _UPSTREAM.debug("Skipping instrumentation %s: %s", name, error)
    except Exception as error:  # noqa: BLE001 the app is just importing its framework
        _failed(name, error)


def _failed(name: str, error: Exception) -> None:
    LOG.error("instrumentation %s failed and is off, the rest goes on: %s", name, error)
