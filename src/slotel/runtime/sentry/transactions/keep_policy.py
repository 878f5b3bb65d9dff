"""Decides which unsampled traces are sent to Sentry all the same, and how many a minute. It holds no span."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from slotel.config.sampling import Keep

_MINUTE: Final = 60.0
ERROR: Final = "error"
SLOW: Final = "slow"


class KeepPolicy:
    """The reasons of `sentry.keep` and their budget.

    Args:
        per_minute: most traces that are kept in each minute.
    """

    def __init__(self, keep: Sequence[Keep], per_minute: int) -> None:
        self.errors = any(each.reason == "errors" for each in keep) and per_minute > 0
        slow = [each.slow for each in keep if each.slow is not None]
        self._slow = int(min(slow) * 1e9) if slow and per_minute > 0 else None
        self._per_minute = per_minute
        self._left: dict[float, bytearray] = {}
        """One item for each trace that may still be kept in this minute, so that taking one needs no lock."""

    @property
    def keeps(self) -> bool:
        """Whether any trace can be kept; if not, unsampled spans need not be buffered."""
        return self.errors or self._slow is not None

    def reason(self, root: ReadableSpan, *, error: bool) -> str | None:
        """Return why a trace, of which a span failed or not, is worth keeping: `error` or `slow`; None if it is not."""
        if error and self.errors:
            return ERROR
        is_slow = self._slow is not None and (root.end_time or 0) - (root.start_time or 0) > self._slow
        return SLOW if is_slow else None

    def take(self) -> bool:
        """Use the budget for one trace; False if it is spent."""
        try:
            self._of_this_minute().pop()
        except IndexError:
            return False
        return True

    def left(self) -> bool:
        """Return whether a trace would be kept now."""
        return bool(self._of_this_minute())

    def _of_this_minute(self) -> bytearray:
        minute = time.monotonic() // _MINUTE
        left = self._left.get(minute)
        if left is None:
            self._left = {then: left for then, left in self._left.copy().items() if then >= minute}
            left = self._left.setdefault(minute, bytearray(self._per_minute))
        return left
