"""Random ids without a system call for each, which would release the GIL."""

from __future__ import annotations

import os
import random
from typing import Final


class Ids:
    """A random generator for all threads, which an app's `random.seed` does not reach. A forked child seeds its own."""

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311 an id is no secret
        self._process = -1

    def take(self, size: int) -> str:
        """Return `size` random bytes as hexadecimal digits."""
        if os.getpid() != self._process:
            self._random.seed(os.urandom(32))
            self._process = os.getpid()
        return f"{self._random.getrandbits(8 * size):0{2 * size}x}"


IDS: Final = Ids()
"""The generator of this process."""
