"""Loads instrumentations: a web framework's when the app imports it, every other at once. One that fails is named."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import wrapt

from slotel.runtime.logs import LOG

_UPSTREAM: Final = logging.getLogger("opentelemetry.instrumentation.auto_instrumentation")

WAIT: Final = frozenset({"fastapi", "flask", "starlette"})
"""Instrumentations, and the modules of the same name, that only replace names of the module when it is there.

Loading one imports its framework: 0.05 to 0.2 s of CPU in a process that uses another one. Django and Celery change
settings or connect before their app is made; client libraries are mostly there anyway. These do not wait.
"""


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
