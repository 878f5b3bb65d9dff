"""Whether uWSGI forks this service's workers without telling Python, which would count apart and be seen by nobody.

uWSGI forks in C. Python's fork hooks, by which slotel follows, run when one of two of its options is set.
"""

from __future__ import annotations

import sys
from typing import Final

from slotel.config.problem import Problem

_OPTIONS: Final = ("py-call-uwsgi-fork-hooks", "py-call-osafterfork")


def problem() -> Problem | None:
    """Return what to set in uWSGI; None where nothing is wrong. Its module is there when it has read its options."""
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    if not isinstance(options, dict):
        return None
    named = {name.decode() if isinstance(name, bytes) else str(name) for name in options}
    if "master" not in named or not named.isdisjoint(_OPTIONS):
        return None
    return Problem(
        "uWSGI",
        f"it forks workers without Python's fork hooks: set '{_OPTIONS[0]} = true', and 'enable-threads = true'",
        "what the workers count is not seen until then",
    )
