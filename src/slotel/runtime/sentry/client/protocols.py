"""What the Sentry sinks are given from outside, as narrow protocols. No behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan

from slotel.runtime.redaction.enforcer import RedactedSpan

if TYPE_CHECKING:
    from slotel.runtime.sentry.transport.envelope_queue import QueuedEnvelope
    from slotel.runtime.sentry.transport.rate_limits import RateLimits

Dropped: TypeAlias = Callable[[str, str, int], None]
"""Counts a loss: signal (`traces`, `spans`), reason, how many."""


class ModeError(RuntimeError):
    """A mode cannot work with what is installed or set up; the text says why."""


class SentryClientLike(Protocol):
    """The part of a sentry-sdk client, 2.x or 3.x, that slotel uses."""

    @property
    def dsn(self) -> str | None:
        """Where events go, with the key."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What `sentry_sdk.init` was given, and its defaults."""

    @property
    def transport(self) -> Any:
        """What sends; None once the client is closed."""


class SendsTransactions(Protocol):
    """What the worker hands built transactions to: `Sender`, or `AppTransport` for a transport of the app's own."""

    @property
    def limits(self) -> RateLimits:
        """Which categories may not be sent for a while."""

    def offer(self, envelope: QueuedEnvelope) -> None:
        """Take an envelope; it is sent after `wake`."""

    def wake(self) -> None:
        """Send what was taken."""

    def flush(self, deadline: float) -> bool:
        """Send what was taken until the monotonic `deadline`; return whether all went."""

    def stop(self, reason: str) -> None:
        """Send no more; count what still waits as lost for that reason."""


class EnforcerLike(Protocol):
    """The tag policy at work; `slotel.runtime.redaction.enforcer.Enforcer` is it."""

    def plain(self, span: ReadableSpan, tags: Mapping[str, str]) -> RedactedSpan:
        """Return attributes, events and links of the span as they may leave the service."""

    def span(self, span: ReadableSpan, tags: Mapping[str, str]) -> ReadableSpan:
        """Return the span as it may leave the service."""

    def tags(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
        """Return the enforced tags of a span."""

    def tags_of(self, plain: RedactedSpan) -> dict[str, str]:
        """Return the enforced tags of a span that `plain` has returned."""

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return a Sentry payload with redacted values."""

    def item(self, kind: str, payload: Any) -> Any:
        """Return what an envelope carries beside events, redacted."""

    def headers(self, headers: Mapping[str, Any]) -> dict[str, Any]:
        """Return the headers of an envelope, or of what it carries, redacted."""
