"""Whether SENTRY_DSN is set and valid. Opens no connection."""

from __future__ import annotations

from collections.abc import Iterator

from slotel.runtime.finding import Finding
from slotel.runtime.sentry.client.dsn import dsn_finding


def dsn(value: str | None) -> Iterator[Finding]:
    """Whether errors and transactions have a destination."""
    yield dsn_finding(value)
