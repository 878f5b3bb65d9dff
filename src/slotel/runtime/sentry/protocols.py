"""Types that the parts of `sentry/` share. No behaviour."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from sentry_sdk.client import BaseClient

SentryClientLike: TypeAlias = "BaseClient"
"""The client of sentry-sdk, 2.x or 3.x, of which slotel uses `dsn`, `options` and `transport`."""
Dropped: TypeAlias = Callable[[str, str, int], None]
"""Counts dropped items, given signal (`traces`, `spans`), reason and number."""
DUPLICATE: Final[ContextVar[bool]] = ContextVar("slotel-duplicate", default=False)
"""The event that is just being dropped is a second report of one exception: no loss."""


class ModeError(RuntimeError):
    """A mode cannot work with the installed packages or the settings; the message says why."""
