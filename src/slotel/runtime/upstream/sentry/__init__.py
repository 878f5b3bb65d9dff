"""sentry-sdk, 2 and 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slotel.runtime.upstream.probe import Probe


def replace(probe: Probe, replacement: Callable[..., Any]) -> bool:
    """Have a function called in the place of sentry-sdk's, with that one as its first argument; return whether it is.

    The owner of the function must be imported.
    """
    return probe.wrap_imported(
        lambda original: lambda *given, **named: replacement(original, *given, **named)
    )
