"""Unix time without steps: the wall clock at the start, continued with the time since boot.

Steps of the wall clock (NTP, an operator, a restored machine) have no effect on it. Time passes while the machine is
suspended, on Linux only.
"""

from __future__ import annotations

import time
from typing import Final

_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)


def since_boot() -> float:
    """Return seconds since boot, including suspensions; the same in all processes."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class SteadyClock:
    """Returns unix seconds without steps.

    Attributes:
        booted: unix seconds of the boot, by the wall clock at the start. Processes with the same value share a clock.
    """

    def __init__(self) -> None:
        self.booted = float(int(time.time() - since_boot()))

    def __call__(self) -> float:
        """Return the time."""
        return self.booted + since_boot()
