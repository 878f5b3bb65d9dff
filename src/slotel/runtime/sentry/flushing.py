"""Makes `sentry_sdk.flush()` send transactions, too, which slotel buffers for children that end late.

A job queue's worker or a serverless function flushes and then ends without exit hooks: by `os._exit`, or frozen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from slotel.runtime.logs import LOG
from slotel.runtime.process.shutdown import EXIT
from slotel.runtime.sentry.protocols import SentryClientLike

_MARK: Final = "_slotel_flushes"


def flush_first(client: SentryClientLike, flush: Callable[[float], object]) -> None:
    """Have a flush of the client's transport first flush slotel's transactions.

    Args:
        flush: called with a time-out in seconds; it may flush the transport itself.
    """
    EXIT.watch()
    transport: Any = client.transport
    if transport is None or hasattr(transport, _MARK):
        return
    send = transport.flush
    flushing = threading.local()

    def flush_all(timeout: float, callback: Any = None) -> Any:
        until = EXIT.deadline(timeout)
        if timeout > 0 and not hasattr(flushing, "began"):
            flushing.began = True
            try:
                flush(until - time.monotonic())
            except Exception as error:  # noqa: BLE001 what the app has handed to sentry-sdk is flushed in any case
                LOG.debug("transactions could not be flushed: %s", error, exc_info=True)
            finally:
                del flushing.began
        return send(timeout=max(until - time.monotonic(), min(timeout, 0.1)), callback=callback)

    transport.flush = flush_all
    setattr(transport, _MARK, True)
