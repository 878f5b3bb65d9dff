"""The terminal that the commands print tables on; what is none is wide enough for them."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

FILE_WIDTH: Final = 160
"""Characters of a line in a report, a file or a pipe, which are no terminal: nothing is cut."""


def terminal() -> Console:
    """Return the console for standard output."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else FILE_WIDTH)
