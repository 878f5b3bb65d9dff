"""Reports an exception to Sentry, as sentry-sdk's integrations do."""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Callable
from typing import Any, Final

import sentry_sdk
from sentry_sdk.utils import event_from_exception

from slotel.runtime.sentry.errors.exception_record import HAS_DETAILS, is_reported, is_unwanted
from slotel.runtime.sentry.transactions.ids import IDS

_TAKES_OPTIONS: Final = "client_options" in inspect.signature(event_from_exception).parameters
"""sentry-sdk 2.x does, 3.x reads them from the client itself."""


def capture(
    error: BaseException,
    mechanism: str,
    *,
    handled: bool = False,
    complete: Callable[[Any], None] | None = None,
) -> str | None:
    """Report an exception to Sentry; return the event's id, None if it was not sent. Never raises.

    Args:
        mechanism: Sentry's `mechanism.type`: who caught it.
        complete: adds the framework's data to the event; its exceptions are ignored.
    """
    client = sentry_sdk.get_client()
    if is_reported(error) or is_unwanted(error):  # the next layer that it passes is no reason to ask again
        return None
    try:
        more: dict[str, Any] = {"client_options": client.options} if _TAKES_OPTIONS else {}
        event, hint = event_from_exception(error, mechanism={"type": mechanism, "handled": handled}, **more)
        event["event_id"] = IDS.take(16)  # sentry-sdk would ask the system for one
        if complete is not None:
            with contextlib.suppress(Exception):  # an event without these details is better than none
                complete(event)
                hint[HAS_DETAILS] = True
        return sentry_sdk.capture_event(event, hint=hint)
    except Exception:  # noqa: BLE001 nothing may reach the app; the loss is counted by the transport
        if client.transport is not None:
            client.transport.record_lost_event("internal_sdk_error", data_category="error")
        return None


def repeats(record: logging.LogRecord) -> bool:
    """Return whether a log record is about an exception that was already reported: its event would be dropped."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return error is not None and is_reported(error)
