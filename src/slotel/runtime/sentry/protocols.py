"""What the parts of `sentry/` give to each other: narrow protocols, the count of losses. No behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan

from slotel.runtime.redaction.enforcer import RedactedSpan

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


class EnforcerLike(Protocol):
    """The methods of `slotel.runtime.redaction.enforcer.Enforcer` that the sinks use."""

    def plain(self, span: ReadableSpan, tags: Mapping[str, str]) -> RedactedSpan:
        """Return the span with enforced tags and without secrets, for reading."""

    def span(self, span: ReadableSpan, tags: Mapping[str, str]) -> ReadableSpan:
        """Return the span with enforced tags and without secrets, as a span."""

    def tags(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
        """Return the enforced tags of a span."""

    def tags_of(self, plain: RedactedSpan) -> dict[str, str]:
        """Return the enforced tags of a span that `plain` has returned."""

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return a Sentry payload with redacted values."""

    def item(self, kind: str, payload: Any) -> Any:
        """Return the redacted payload of an envelope's item, given the item's type."""

    def headers(self, headers: Mapping[str, Any]) -> dict[str, Any]:
        """Return the redacted headers of an envelope or of an item."""
