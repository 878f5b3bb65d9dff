"""Unix time that nobody can set: it starts from the wall clock and goes on with the time since boot.

A step of the wall clock, forward or back (NTP, an operator, a restored machine), moves nothing that is measured by it;
a suspended machine's time passes. Elsewhere than on Linux the time of a suspension does not pass.
"""

from __future__ import annotations

import time
from typing import Final

_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)


def since_boot() -> float:
    """Return seconds since a fixed moment, those of a suspension included; the same for all processes."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class SteadyClock:
    """Unix seconds, by the wall clock as it was at the start.

    Attributes:
        booted: unix seconds of the boot, as the wall clock had it. Processes that agree on it agree on the time.
    """

    def __init__(self) -> None:
        self.booted = float(int(time.time() - since_boot()))

    def __call__(self) -> float:
        """Return the time."""
        return self.booted + since_boot()
