"""Real components of the machine: found, or skipped loudly; with REQUIRE_REAL=1 their absence fails."""

import os
import shutil

import pytest


def require_real(program: str) -> str:
    """The path of a program that a test needs."""
    path = shutil.which(program)
    if path is not None:
        return path
    message = f"{program} is not installed: REQUIRE_REAL=1 make real (Debian packages), or your distribution's package"
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(message)
    pytest.skip(message)
