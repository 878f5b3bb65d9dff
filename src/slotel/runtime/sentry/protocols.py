"""Types that the parts of `sentry/` share. No behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias

Dropped: TypeAlias = Callable[[str, str, int], None]
"""Counts dropped items, given signal (`traces`, `spans`), reason and number."""
DUPLICATE: Final[ContextVar[bool]] = ContextVar("slotel-duplicate", default=False)
"""The event that is just being dropped is a second report of one exception: no loss."""


class ModeError(RuntimeError):
    """A mode cannot work with the installed packages or the settings; the message says why."""


class SentryClientLike(Protocol):
    """The part of a sentry-sdk client, 2.x or 3.x, that slotel uses."""

    @property
    def dsn(self) -> str | None:
        """The DSN, with the key."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of `sentry_sdk.init`, with the defaults."""

    @property
    def transport(self) -> Any:
        """The transport; None once the client is closed."""
