"""Sends pending telemetry, for processes that are frozen, or that end without Python's exit hooks."""

from __future__ import annotations

from slotel.runtime import state


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
