"""The environment variables that slotel defines, with default and meaning; suggestions for misspelled names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from slotel.config import names


class Variable(NamedTuple):
    """A variable of the environment.

    Args:
        default: as a person would write it; empty when there is none.
    """

    name: str
    default: str
    meaning: str


VARIABLES: Final = (
    Variable(names.SENTRY_DSN, "", "Where errors and transactions are sent; without it Sentry is off."),
    Variable(names.SENTRY_ENVIRONMENT, "resource attribute", "Environment of events: `production`."),
    Variable(names.SENTRY_RELEASE, "resource attribute", "Release of events: `checkout@1.4.2`."),
    Variable(names.SENTRY_TRACES_SAMPLE_RATE, "1", "Share of requests that become transactions, 0 to 1. Never what is counted."),
    Variable(names.SENTRY_PROJECT, "the DSN's number", "Name of the Sentry project, as metrics and dashboards show it."),
    Variable(names.ERROR_BUDGET_LIMIT, "1%", "Largest tolerated error rate of `availability`: `5%`, `0.05`, `1/20`, `500ppm`, `slo:99.9%`."),
    Variable(names.ERROR_BUDGET_WINDOW, "1h", "Time over which the error rate is compared with the limit."),
    Variable(names.SLOTEL_CONFIG, "slotel.yaml", "Path of the configuration file."),
    Variable(names.SLOTEL_SENTRY_MODE, "transactions", "How spans reach Sentry: `transactions`, `sdk`, `otlp`, `errors`."),
    Variable(names.SLOTEL_SENTRY_LATE_WAIT, "200ms", "How long a transaction waits for spans that end after its root; at most 10s."),
    Variable(names.SLOTEL_HANDLE_SIGTERM, "true", "Flush pending telemetry on a SIGTERM that the app does not handle."),
    Variable(names.SLOTEL_MAX_SERIES, "2000", "Bound of the series of each metric, over all workers. Further label sets are aggregated into one overflow series."),
    Variable(names.SLOTEL_ASGI_SPANS, "none", "ASGI messages that get a span each: `send`, `receive`, `send,receive`."),
    Variable(names.SLOTEL_HTTP_METRICS, "slotel", "Who aggregates `http.server.*`: `slotel`, or `sdk` if your code registers its own MetricReader."),
    Variable("SLOTEL_SPANS", "slotel", "Who creates spans: `slotel`, or `sdk` for the SDK's own spans, which cost more."),
    Variable(names.SLOTEL_METRICS_HOSTS, "", "Host names that /metrics accepts in requests, in addition to addresses and loopback names: `metrics.shop.test`; `*`: any."),
    Variable(names.SLOTEL_METRICS_TOKEN_FILE, "", "File of the bearer tokens that /metrics accepts, one a line; without it, none is needed."),
    Variable(names.SLOTEL_METRICS_WEB_CONFIG, "", "File as Prometheus' `--web.config.file`: `tls_server_config` and `basic_auth_users`."),
    Variable(names.SLOTEL_PAGE, "on", "`off` removes the status page from the metrics address."),
    Variable("SLOTEL_DEBUG", "0", "`1` logs every decision: instrumented, skipped, adopted, sampled, kept."),
    Variable(names.SLOTEL_RUN_DIR, "", "Set by slotel for its own child processes; not for users."),
)  # fmt: skip
"""slotel's own variables, and those of Sentry that it reads."""

_SENTRY: Final = frozenset((
    "SENTRY_DEBUG", "SENTRY_SPOTLIGHT", "SENTRY_KEEP_ALIVE", "SENTRY_TRACE", "SENTRY_BAGGAGE", "SENTRY_USE_ENVIRONMENT",
    "SENTRY_ORG", "SENTRY_AUTH_TOKEN", "SENTRY_URL", "SENTRY_LOG_LEVEL", "SENTRY_PROPERTIES", "SENTRY_SERVER_NAME",
    "SENTRY_DIST", "SENTRY_PROFILES_SAMPLE_RATE", "SENTRY_PROFILE_SESSION_SAMPLE_RATE", "SENTRY_CA_CERTS", "SENTRY_TAGS",
))  # fmt: skip
"""Variables of sentry-sdk and sentry-cli that are right, and that slotel does not read."""
_OWN_PREFIXES: Final = ("SLOTEL_", "ERROR_BUDGET_")


def unknown_variables(environ: Mapping[str, str], otel: Iterable[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield each unknown variable with the name that was probably meant, or an empty one.

    A name that begins with `SLOTEL_` or `ERROR_BUDGET_` must be slotel's. One that begins with `SENTRY_` or `OTEL_` may
    belong to another tool: it is reported only when it is close to a known name.

    Args:
        otel: OpenTelemetry's names.

    >>> list(unknown_variables({"SENTRY_TRACE_SAMPLE_RATE": "1", "SENTRY_ELSEWHERE_X": "1"}))
    [('SENTRY_TRACE_SAMPLE_RATE', 'SENTRY_TRACES_SAMPLE_RATE')]
    """
    own = {each.name for each in VARIABLES}
    otel = frozenset(otel)
    for name in sorted(environ):
        if name.startswith(_OWN_PREFIXES) and name not in own:
            yield name, _closest(name, own, 0.75)
        elif name.startswith("SENTRY_") and name not in own and name not in _SENTRY:
            abbreviated = (each for each in sorted(own) if each.startswith(name))  # SENTRY_ENV
            likely = next(abbreviated, "") or _closest(name, own | _SENTRY, 0.9)
            if likely:
                yield name, likely
        elif otel and name.startswith("OTEL_") and name not in otel:
            likely = _closest(name, otel, 0.93)
            if likely:
                yield name, likely


def _closest(name: str, known: Iterable[str], cutoff: float) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=cutoff)), "")
