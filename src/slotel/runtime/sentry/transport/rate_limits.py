"""What Sentry's server said about sending less: `X-Sentry-Rate-Limits` and `Retry-After`. Keeps time, sends nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

DEFAULT_PAUSE: Final = 60.0
"""Seconds without sending after a 429 that does not say how long. Source: Sentry SDK docs, "Rate limiting"."""
LONGEST_PAUSE: Final = 3600.0
"""A header must not silence a process for ever."""
_TOO_MANY: Final = 429
_OURS: Final = ("transaction", "")


class RateLimits:
    """Until when transactions must not be sent.

    Args:
        clock: monotonic seconds. wall: seconds since 1970, for a Retry-After that is a date.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._until = 0.0

    def pause(self) -> float:
        """Return for how many seconds transactions must not be sent; 0 if they may."""
        return max(0.0, self._until - self._clock())

    def learn(self, status: int, limits: str | None, retry_after: str | None) -> None:
        """Take in an answer, whatever its status.

        >>> limited = RateLimits(clock=lambda: 0.0)
        >>> limited.learn(200, "10:error:organization, 30:transaction;span:key", None)
        >>> limited.pause()
        30.0
        """
        if limits is not None:
            for limit in limits.split(","):
                seconds, _, rest = limit.strip().partition(":")
                categories = rest.partition(":")[0].split(";")
                if any(category in _OURS for category in categories):
                    self._stop(_number(seconds) or 0.0)
        elif status == _TOO_MANY:
            seconds_asked = self._retry_after(retry_after) if retry_after is not None else None
            self._stop(DEFAULT_PAUSE if seconds_asked is None else seconds_asked)

    def _stop(self, seconds: float) -> None:
        self._until = max(self._until, self._clock() + min(max(seconds, 0.0), LONGEST_PAUSE))

    def _retry_after(self, text: str) -> float | None:
        seconds = _number(text)
        if seconds is not None:
            return seconds
        try:
            return parsedate_to_datetime(text).timestamp() - self._wall()
        except (ValueError, TypeError):
            return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
