"""Returns an objective's counts as PromQL over a window: bad events, all events, and the series that must exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from slotel.compile.promql import bucket, equal, number, one_of, series
from slotel.config import names
from slotel.config.duration import format_duration, parse_duration
from slotel.config.service import Service
from slotel.config.slo import CLIENT_CLOSED_REQUEST, MINUTE, WINDOW, ZERO, Queries, Slo
from slotel.config.tags import label_name

HTTP_DURATION: Final = "http_server_request_duration_seconds"
"""Source: OpenTelemetry semantic conventions, HTTP metrics, `http.server.request.duration`."""

_HTTP_LABELS: Final = frozenset((
    "http.route", "http.request.method", "http.response.status_code", "error.type", "url.scheme",
    "network.protocol.name", "network.protocol.version", "server.address", "server.port",
))  # fmt: skip
_SPAN_LABELS: Final = ("http.route", "http.response.status_code", "service.name", "span.name")
_FIVE: Final = '"5.."'


@dataclass(frozen=True, slots=True)
class Counts:
    """The PromQL of an objective's events.

    Args:
        total: window → PromQL of one sample without labels.
        bad: window, PromQL of that total as recorded → the same for bad events; never empty where total is not.
        present: PromQL of a series that must exist.
        alive: PromQL that is > 0 while the service does anything; empty if that cannot be told.
        operands: selectors of series that must exist while there are events, or `bad` says nothing.
        instant: PromQL of a bad ratio at an instant, in place of total and bad; empty if there are events.
    """

    total: Callable[[str], str]
    bad: Callable[[str, str], str]
    present: str
    alive: str = ""
    operands: tuple[str, ...] = ()
    instant: str = ""


class _Metrics(NamedTuple):
    """Metrics of requests from which an objective can be counted.

    Args:
        title: for people.
        labels: the attributes that are labels of them.
        calls, duration: names of the counter and the histogram.
        error: matcher of what failed, and its contrary.
    """

    title: str
    labels: frozenset[str]
    calls: str
    duration: str
    error: tuple[str, str]


def counts(service: Service, slo: Slo) -> Counts:
    """Return how the service's chosen source counts the objective.

    Raises:
        ValueError: the source has no label for something that the objective selects by, or it counts nothing.
    """
    _check_slices(service, slo)
    if slo.queries is not None:
        return _queries(slo.queries)
    if service.monitoring.source == "slo_events":
        return _slo_events(service, slo)
    if service.monitoring.source == "span_metrics":
        return _span_metrics(service, slo)
    return _http_server(service, slo)


def _check_slices(service: Service, slo: Slo) -> None:
    """Raise ValueError if a time slice does not hold the two scrapes that an increase is made of."""
    every = service.monitoring.scrape_interval
    if slo.slices is not None and every is not None and slo.slices.seconds < 2 * every:
        length, interval = format_duration(slo.slices.seconds), format_duration(every)
        raise ValueError(
            f"objective '{slo.name}': a time slice of {length} does not hold two scrapes, one every {interval}: make "
            "time_slices.length longer, or scrape more often"
        )


def _slo_events(service: Service, slo: Slo) -> Counts:
    metric = f"{names.SLO_EVENTS}_total"
    base = [*_service(service), *equal({names.LABEL_SLO: slo.name})]
    counted = one_of(names.LABEL_OUTCOME, (names.GOOD, names.BAD))
    bad = [*base, *equal({names.LABEL_OUTCOME: names.BAD})]
    spans = series(f"{names.SPAN_CALLS}_total", [*_service(service), _kinds(slo)])
    # two samples of each route instead of an hour of them; a restart is a change, too
    before = f"(sum({spans} offset 1h) or 0 * sum({spans}))"
    return Counts(
        total=lambda window: _increase(metric, [*base, counted], window),
        bad=lambda window, total: f"{_increase(metric, bad, window)}\nor 0 * {total}",
        present=series(metric, base),
        alive=f"abs(sum({spans}) - {before})",
    )


def _span_metrics(service: Service, slo: Slo) -> Counts:
    error = f'{names.LABEL_STATUS}="STATUS_CODE_ERROR"', f'{names.LABEL_STATUS}!="STATUS_CODE_ERROR"'
    labels = frozenset((*_SPAN_LABELS, *service.tags.metric_labels))
    metrics = _Metrics("span metrics", labels, f"{names.SPAN_CALLS}_total", names.SPAN_DURATION, error)
    return _histogram_or_calls(slo, metrics, [*_service(service), _kinds(slo)])


def _http_server(service: Service, slo: Slo) -> Counts:
    if "SERVER" not in slo.select.kinds:
        raise ValueError(f"objective '{slo.name}': HTTP server metrics count SERVER spans only")
    error = 'error_type!=""', 'error_type=""'
    metrics = _Metrics("HTTP server metrics", _HTTP_LABELS, f"{HTTP_DURATION}_count", HTTP_DURATION, error)
    job = {} if "job" in service.monitoring.match else {"job": service.name or ""}
    return _histogram_or_calls(slo, metrics, equal({**job, **service.monitoring.match}))


def _faults(slo: Slo, metrics: _Metrics) -> Iterator[tuple[str, str]]:
    """Yield what makes an event bad, as (matcher, its contrary)."""
    if slo.bad.status_error:
        yield metrics.error
    if slo.bad.http_5xx:
        yield f"{names.LABEL_HTTP_STATUS}=~{_FIVE}", f"{names.LABEL_HTTP_STATUS}!~{_FIVE}"
    for key, values in slo.bad.attributes.items():
        name = _label(slo, key, metrics)
        yield one_of(name, values), one_of(name, values, not_=True)


def _histogram_or_calls(slo: Slo, metrics: _Metrics, base: Sequence[str]) -> Counts:
    """Count by calls; with a latency threshold, all that is not both faultless and fast is bad."""
    calls, duration = metrics.calls, metrics.duration
    answered = f'{names.LABEL_HTTP_STATUS}!="{CLIENT_CLOSED_REQUEST}"'
    selected = [*base, *_selected(slo, metrics), answered]
    faults = list(_faults(slo, metrics))
    if not faults and slo.latency is None:
        raise ValueError(
            f"objective '{slo.name}': nothing makes an event bad: give bad.attributes, or a latency"
        )

    def bad(window: str, total: str) -> str:
        if slo.latency is not None:
            fast = [*selected, *(contrary for _, contrary in faults), bucket(slo.latency)]
            good = f"({_increase(f'{duration}_bucket', fast, window)} or 0 * {total})"
            return f"clamp_min({total} - {good}, 0)"
        terms, passed = [], list(selected)
        for matcher, contrary in faults:
            terms.append(f"({_increase(calls, [*passed, matcher], window)} or 0 * {total})")
            passed.append(contrary)
        return "\n+ ".join(terms) or f"0 * {total}"

    edge = [series(f"{duration}_bucket", [*selected, bucket(slo.latency)])] if slo.latency is not None else []
    return Counts(
        total=lambda window: _increase(calls, selected, window),
        bad=bad,
        present=series(calls, selected),
        operands=tuple(edge),
    )


def _queries(queries: Queries) -> Counts:
    """Count by queries. Where good events are taken from all of them, a scrape between may show more good than all."""
    if queries.ratio:
        return _ratio(queries)

    def bad(window: str, total: str) -> str:
        counted = queries.bad.replace(WINDOW, window).replace(ZERO, f"0 * {total}")
        return f"(clamp_min({counted} or 0 * {total}, 0) <= {total})\nor {total}"

    return Counts(
        total=lambda window: queries.total.replace(WINDOW, window).replace(ZERO, "vector(0)"),
        bad=bad,
        present=queries.total.replace(WINDOW, "10m").replace(f" or {ZERO}", ""),
        operands=queries.operands,
    )


def _ratio(queries: Queries) -> Counts:
    """Count minutes: a raw ratio has no events, so each minute weighs the same."""
    inside = f"clamp({queries.ratio}, 0, 1) >= 0"  # not a number: nothing was measured

    def over(window: str) -> str:
        return inside.replace(WINDOW, window)

    if WINDOW not in queries.ratio:
        return Counts(lambda _: "", lambda _, __: "", present=queries.ratio, instant=inside)
    return Counts(
        total=lambda window: f"0 * ({over(window)}) + {number(parse_duration(window) / MINUTE)}",
        bad=lambda window, _: f"({over(window)}) * {number(parse_duration(window) / MINUTE)}",
        present=queries.ratio.replace(WINDOW, "10m"),
    )


def _increase(metric: str, matchers: Sequence[str], window: str) -> str:
    return f"sum(increase({series(metric, matchers, window)}))"


def _service(service: Service) -> list[str]:
    return equal({names.LABEL_SERVICE: service.name or "", **service.monitoring.match})


def _kinds(slo: Slo) -> str:
    return one_of(names.LABEL_SPAN_KIND, [f"SPAN_KIND_{kind}" for kind in slo.select.kinds])


def _selected(slo: Slo, metrics: _Metrics) -> Iterator[str]:
    for values, not_ in ((slo.select.include, False), (slo.select.exclude, True)):
        yield from (one_of(_label(slo, key, metrics), globs, not_=not_) for key, globs in values.items())


def _label(slo: Slo, key: str, metrics: _Metrics) -> str:
    if key not in metrics.labels:
        raise ValueError(
            f"objective '{slo.name}': {metrics.title} have no label for '{key}' (they have "
            f"{', '.join(sorted(metrics.labels))}); count from slo_events, or make it one of tags.metric_labels"
        )
    return label_name(key)
