"""Sets sentry-sdk up from slotel's settings, for errors; `transactions` sends the spans. Never raises.

An app that calls `sentry_sdk.init` itself keeps its client and its options, see `takeover.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import wrapt
from opentelemetry.trace import SpanContext

from slotel.config.service import SentrySettings
from slotel.runtime.finding import Finding, log
from slotel.runtime.logs import LOG
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.sentry.client.dsn import Destination, dsn_finding
from slotel.runtime.sentry.client.identity import Identity, identify

if TYPE_CHECKING:
    from slotel.runtime.budget.incidents import Incident
    from slotel.runtime.sentry.client.takeover import ClientTakeover
    from slotel.runtime.sentry.errors.linker import ErrorEventLinker


class SentryDependencies(NamedTuple):
    """The parts of the runtime that the Sentry component uses.

    Args:
        tags: `Enforcer.tags`.
        redact: `Enforcer.item`: redacts the payload of an envelope's item, given the item's type.
        redact_headers: `Enforcer.headers`.
        counted: called with (project, environment) for each error event that is handed to Sentry.
        expected: called at start with each (project, environment) that may be counted, so that its count begins at 0.
        dropped: called with (signal, reason, count) for each error event that is lost.
        error_detail: `sentry.error_detail`.
        logs: `sentry.logs`.
        native_names: `sentry.transaction_names` is `native`.
        profiles: the mode makes transactions that can be profiled.
        holds_calls: see `ErrorEventLinker`.
        sampling: returns the dynamic sampling context of a span's trace.
        options: further options of `sentry_sdk.init` that a mode needs (`instrumenter`).
    """

    open_spans: OpenSpans
    tags: Callable[[Mapping[str, Any], Mapping[str, str]], dict[str, str]]
    redact: Callable[[str, Any], Any]
    redact_headers: Callable[[Mapping[str, Any]], dict[str, Any]]
    counted: Callable[[str, str], None]
    expected: Callable[[str, str], None]
    dropped: Callable[[str, str, int], None]
    error_detail: str = "adaptive"
    logs: bool = False
    native_names: bool = False
    profiles: bool = True
    holds_calls: bool = False
    sampling: Callable[[SpanContext], Mapping[str, str]] = lambda _: {}
    options: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class SentryConnection:
    """The running Sentry component: the client in use, its destination, and the linker of errors (a sink).

    Args:
        client: replaced by the app's own once the app calls `sentry_sdk.init`: read it each time, do not keep it.
    """

    client: Any
    destination: Destination
    identity: Identity
    error_linker: ErrorEventLinker

    @property
    def propagation_targets(self) -> Sequence[Any]:
        """`trace_propagation_targets` of the client: the URLs to which Sentry's headers may be sent."""
        options = self.client.options
        if not options.get("propagate_traces", True):
            return ()
        return options.get("trace_propagation_targets") or ()

    @property
    def organization(self) -> str | None:
        """The organization id of the events, from the client's option or the DSN's host."""
        said = self.client.options.get("org_id")
        return self.destination.organization if said is None else str(said)

    def continues(self, organization: str | None) -> bool:
        """Return whether an incoming trace of an organization is continued; None if the trace names none."""
        own = self.organization
        if own is not None and organization is not None:
            return own == organization
        return own == organization or not self.client.options.get("strict_trace_continuation")

    def propagates_to_tasks(self, said: object) -> bool:
        """Return whether a Celery task that is sent continues the trace; `said` is the task's own choice, or None."""
        if said is None:
            said = getattr(self.client.get_integration("celery"), "propagate_traces", None) is not False
        return bool(said and self.client.options.get("propagate_traces", True))

    def incident(self, incident: Incident) -> str | None:
        """Report the begin, rise or end of an incident, as one issue for each objective; return the event's id."""
        import sentry_sdk

        window = incident.breach.window
        state = "recovered" if incident.recovered else "breached"
        breaches = () if incident.recovered else (incident.breach, *incident.beside)
        level: Literal["error", "warning"] = "error" if incident.breach.severity == "page" else "warning"
        return sentry_sdk.capture_event(
            {
                "message": str(incident),
                "level": "info" if incident.recovered else level,
                "logger": "slotel.budget",
                "fingerprint": ["slotel", "error-budget", incident.service, incident.slo.name],
                "tags": {
                    "slo_name": incident.slo.name,
                    "slo_state": state,
                    "slo_severity": incident.breach.severity,
                },
                "contexts": {
                    "error budget": {
                        "breached": [each.name for each in breaches],
                        "bad": window.bad,
                        "total": window.total,
                        "counted": window.unit,
                        "window_seconds": window.seconds,
                        "error_ratio": window.ratio,
                        "limit_ratio": incident.slo.limit,
                        "burn_rate": window.burn,
                    }
                },
            }
        )


def init_options(settings: SentrySettings) -> dict[str, Any]:
    """Return the options of `sentry_sdk.init` that the mode needs."""
    if settings.mode != "sdk":
        return {}
    from slotel.runtime.upstream.sentry.optional import import_sentry

    import_sentry()
    from sentry_sdk.consts import VERSION

    # 3.x has no instrumenter and would refuse it; the mode itself then logs that it cannot work
    return {"instrumenter": "otel", "traces_sample_rate": 1.0} if VERSION.startswith("2.") else {}


def start_client(
    settings: SentrySettings,
    resource: Mapping[str, object],
    parts: SentryDependencies,
    connected: Callable[[SentryConnection], None],
    tell: Callable[[Iterable[Finding]], None] = log,
) -> SentryConnection | None:
    """Set Sentry up; return None without a valid DSN.

    Args:
        connected: called when the app itself calls `sentry_sdk.init` later, with the connection that uses its client.
        tell: logs the finding about a DSN that is missing or invalid.
    """
    identity = identify(settings, resource)
    standing = _standing_client()
    found = dsn_finding(settings.dsn)
    if found.status == "fail" or (settings.dsn is None and standing is None):
        tell([found])

    def takeover() -> ClientTakeover:
        from slotel.runtime.upstream.sentry.optional import import_sentry

        import_sentry()
        from slotel.runtime.sentry.client.takeover import ClientTakeover

        return ClientTakeover(identity, parts, connected)

    if standing is None and found.status != "ok":
        # an app that never imports sentry-sdk does not pay for it
        wrapt.register_post_import_hook(lambda _: _watch(takeover), "sentry_sdk")
        return None
    adoption = takeover()
    connection = adoption.connect(settings.dsn or "") if standing is None else adoption.adopt(standing)
    adoption.watch()
    return connection


def _watch(takeover: Callable[[], ClientTakeover]) -> None:
    try:
        takeover().watch()
    except Exception as error:  # noqa: BLE001 the app's import goes on
        LOG.error("a later sentry_sdk.init by the app cannot be detected: %s", error)
        LOG.debug("sentry-sdk is not watched", exc_info=True)


def _standing_client() -> Any:
    """Return the client that the app has already set up, or None."""
    module = sys.modules.get("sentry_sdk")
    if module is None:
        return None
    client = module.get_client()
    return client if client.is_active() and client.dsn else None
