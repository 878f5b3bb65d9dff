"""Starts the runtime, once, for code that uses slotel without `opentelemetry-instrument`; and flushes it."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from slotel.runtime import state
from slotel.runtime.logs import LOG

if TYPE_CHECKING:
    from slotel.runtime.state import Runtime

_TRIED: list[bool] = []


def started(environ: MutableMapping[str, str] | None = None) -> Runtime | None:
    """Return the runtime, started if necessary; None if slotel is off or could not start. Never raises."""
    from slotel.runtime import bootstrap

    runtime = state.current()
    if runtime is not None or (_TRIED and environ is None):
        return runtime
    _TRIED.append(True)
    try:
        return bootstrap.start(os.environ if environ is None else environ)
    except Exception:  # noqa: BLE001 the app goes on without telemetry
        LOG.exception("slotel could not start. The application runs without it. Please report this")
        return None


def flush(timeout: float = 2.0) -> bool:
    """Send pending errors, transactions and spans. Never raises.

    Call it before a serverless platform freezes the process.

    Args:
        timeout: seconds.

    Returns:
        Whether everything was sent within the timeout.
    """
    runtime = state.current()
    if runtime is None:
        return True
    try:
        return runtime.flush(timeout)
    except Exception as error:  # noqa: BLE001 the app goes on
        runtime.self_metrics.stage_error("flush", error)
        return False
