"""Notes when an exporter of the SDK last delivered and last failed: it says so to nobody but its own processor.

The method `export` of the one instance is wrapped; what it is given and what it answers stay as they are.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any, Final


class Delivery:
    """Unix seconds of the last delivery and of the last failure of this process; None where there was none."""

    def __init__(self) -> None:
        self._pid = 0
        self._delivered: float | None = None
        self._failed: float | None = None

    @property
    def delivered(self) -> float | None:
        """Return when telemetry was last taken."""
        return self._delivered if self._pid == os.getpid() else None

    @property
    def failed(self) -> float | None:
        """Return when telemetry was last refused, if nothing was taken since."""
        return self._failed if self._pid == os.getpid() else None

    def note(self, *, is_delivered: bool) -> None:
        """Note what came of an export."""
        if self._pid != os.getpid():  # a forked child's own story begins here
            self._pid, self._delivered = os.getpid(), None
        if is_delivered:
            self._delivered, self._failed = time.time(), None
        else:
            self._failed = time.time()


DELIVERIES: Final[dict[str, Delivery]] = {}
"""By signal: `traces`, `metrics`."""


def watch(exporter: Any, signal: str) -> None:
    """Note what comes of an exporter's exports; an exporter that cannot be watched is left alone."""
    export = getattr(exporter, "export", None)
    if export is None:
        return
    delivery = Delivery()

    def noted(*values: Any, **named: Any) -> Any:
        try:
            result = export(*values, **named)
        except BaseException:
            delivery.note(is_delivered=False)
            raise
        delivery.note(is_delivered=getattr(result, "name", "") == "SUCCESS")
        return result

    with suppress(AttributeError, TypeError):  # slots, a frozen class
        exporter.export = noted
        DELIVERIES[signal] = delivery
