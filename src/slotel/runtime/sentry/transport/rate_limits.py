"""The rate limits that Sentry's server has set: `X-Sentry-Rate-Limits` and `Retry-After`."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Final

DEFAULT_PAUSE: Final = 60.0
"""Seconds without sending after a 429 without a duration. Source: Sentry SDK docs, "Rate limiting"."""
LONGEST_PAUSE: Final = 3600.0
"""Most seconds that a header can stop the sending."""
_TOO_MANY: Final = 429
_ALL: Final = ""
"""The key of a limit for all categories."""


class RateLimits:
    """The time until which items of each category must not be sent."""

    clock, wall = staticmethod(time.monotonic), staticmethod(time.time)

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def pause(self, category: str) -> float:
        """Return for how many seconds a category (`error`, `transaction`, …) must not be sent; 0 if it may."""
        if not self._until:
            return 0.0
        until = max(self._until.get(category, 0.0), self._until.get(_ALL, 0.0))
        return max(0.0, until - self.clock())

    def learn(self, status: int, limits: str | None, retry_after: str | None) -> None:
        """Update the limits from a response of any status.

        >>> limited = RateLimits()
        >>> limited.clock = lambda: 0.0
        >>> limited.learn(200, "10:error:organization, 30:transaction;span:key", None)
        >>> limited.pause("error"), limited.pause("transaction"), limited.pause("session")
        (10.0, 30.0, 0.0)
        """
        if limits is not None:
            for limit in limits.split(","):
                seconds, separator, rest = limit.strip().partition(":")
                number = _number(seconds)
                if number is not None and separator:
                    for category in rest.partition(":")[0].split(";"):
                        self._stop(category.strip(), number)
        elif status == _TOO_MANY:
            asked = self._retry_after(retry_after) if retry_after is not None else None
            self._stop(_ALL, DEFAULT_PAUSE if asked is None else asked)

    def _stop(self, category: str, seconds: float) -> None:
        until = self.clock() + min(max(seconds, 0.0), LONGEST_PAUSE)
        self._until[category] = max(self._until.get(category, 0.0), until)

    def _retry_after(self, text: str) -> float | None:
        seconds = _number(text)
        if seconds is not None:
            return seconds
        try:
            left = parsedate_to_datetime(text).timestamp() - self.wall()
        except (ValueError, TypeError):
            return None
        return left if left > 0 else None  # a clock is wrong, here or there


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
