"""Sends what is pending, for processes that are frozen or ended without Python's exit."""

from __future__ import annotations

from slotel.runtime import state


def flush(timeout: float = 2.0) -> bool:
    """Send pending errors, transactions and spans; return whether all of it was sent.

    Call it where a platform freezes the process after an answer, as serverless platforms do. Never raises.

    Args:
        timeout: seconds.
    """
    runtime = state.current()
    if runtime is None:
        return True
    try:
        return runtime.flush(timeout)
    except Exception as error:  # noqa: BLE001 the app goes on
        runtime.self_metrics.stage_error("flush", error)
        return False
