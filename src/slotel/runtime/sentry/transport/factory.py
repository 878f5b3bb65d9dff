"""The way of transactions by one Sentry client's set-up: what builds and what sends them. Moves nothing itself."""

from __future__ import annotations

from slotel.config.service import SentrySettings
from slotel.runtime.sentry.client.protocols import Dropped, Enforcing, ModeError, SentryClientLike
from slotel.runtime.sentry.transactions.assembly import Assembly
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transport.rate_limits import RateLimits
from slotel.runtime.sentry.transport.route import Route
from slotel.runtime.sentry.transport.sender import Sender


class TransportFactory:
    """Makes the way for each client in turn: slotel's own, and that of an app that calls `sentry_sdk.init` later."""

    def __init__(
        self, settings: SentrySettings, enforcer: Enforcing, keeper: KeepPolicy, dropped: Dropped
    ) -> None:
        self._settings = settings
        self._enforcer = enforcer
        self._keeper = keeper
        self._dropped = dropped
        self._limits: dict[str, RateLimits] = {}

    def by(self, client: SentryClientLike) -> tuple[Assembly, Sender]:
        """Return what builds and what sends by this client's DSN, options and hooks.

        Raises:
            ModeError: it has no DSN.
        """
        if not client.dsn:
            raise ModeError("there is no DSN")
        # what a server has forbidden for a while holds for its next client, too
        limits = self._limits.setdefault(client.dsn, RateLimits())
        route = Route(client.dsn, client.options)
        assembly = Assembly(
            client=client,
            enforcer=self._enforcer,
            route=route,
            keeper=self._keeper,
            sample_rate=self._settings.traces_sample_rate,
            dropped=self._dropped,
        )
        return assembly, Sender(route, self._dropped, limits=limits)
