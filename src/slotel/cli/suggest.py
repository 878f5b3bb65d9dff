"""`slotel suggest`: drafts slotel.yaml from the last weeks of a service in Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from slotel.cli.load import inform
from slotel.cli.prometheus.api import PrometheusApi, PrometheusError
from slotel.cli.prometheus.options import end_option, header_option, url_option
from slotel.compile.sources import HTTP_DURATION as HTTP
from slotel.compile.suggestion import Route, suggest, to_yaml
from slotel.config import names
from slotel.config.duration import format_duration, parse_duration
from slotel.config.foreign.promql import quote

WEEK: Final = 7 * 86400.0
_CALLS: Final = f"{names.SPAN_CALLS}_total"
_ENTRY: Final = 'span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"'
_EXCLUDED: Final = 'http_response_status_code!="499",http_route!~"/health|/healthz|/livez|/readyz|/metrics"'
_ANSWERED: Final = 'http_response_status_code!~"5.."'
_GOOD: Final = f'status_code!="STATUS_CODE_ERROR",{_ANSWERED}'
_GOOD_HTTP: Final = f'error_type="",{_ANSWERED}'


@click.command()
@url_option
@header_option
@click.option("--service", metavar="NAME", help="Which service. Default: the only one in the store.")
@click.option("--last", default="28d", show_default=True, metavar="DURATION", help="How far back.")
@end_option("--at")
@click.option(
    "--out", metavar="FILE", help="Write it there, if there is no such file yet. Default: print it."
)
def command(
    url: str, headers: tuple[str, ...], service: str | None, last: str, moment: float | None, out: str | None
) -> None:
    """Draft objectives that the service has met: one for the service, and one for each route with enough traffic.

    It reads span metrics (slotel's or the collector's), else OpenTelemetry's HTTP server metrics.
    Latency thresholds are edges of the histogram's buckets.
    """
    try:
        seconds = parse_duration(last)
        found = _Store(PrometheusApi(url, headers), format_duration(seconds), moment)
        name = found.service(service)
        source, routes = found.routes(name)
    except (PrometheusError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    drafts, left_out = suggest(routes, seconds / WEEK)
    text = to_yaml(name, drafts, left_out, source, last)
    for sentence in left_out:
        inform(sentence, err=True)
    if out is None:
        click.echo(text, nl=False)
        return
    if Path(out).exists():
        raise click.ClickException(f"{out} is there already: give another name")
    Path(out).write_text(text, encoding="utf-8")
    click.echo(out)


class _Store:
    """The services and routes in a Prometheus."""

    def __init__(self, prometheus: PrometheusApi, window: str, moment: float | None) -> None:
        self._prometheus, self._window, self._moment = prometheus, window, moment

    def service(self, wanted: str | None) -> str:
        """Return the service's name.

        Raises:
            ValueError: there is none, or there are several.
        """
        if wanted:
            return wanted
        found: list[str] = []
        for label, series in (("service_name", f"{_CALLS}{{{_ENTRY}}}"), ("job", f"{HTTP}_count")):
            if not found:
                by_name = self._by(label, f"count by ({label}) (last_over_time({series}[{self._window}]))")
                found = sorted(by_name.keys() - {""})
        if len(found) != 1:
            there = ", ".join(found) if found else "none"
            raise ValueError(f"--service: name one of the services; there are: {there}")
        return found[0]

    def routes(self, service: str) -> tuple[str, list[Route]]:
        """Return the source of the counts, and each route with its events.

        Raises:
            ValueError: nothing is known of the service.
        """
        own = f"service_name={quote(service)},{_ENTRY},{_EXCLUDED}"
        found = self._routes(_CALLS, names.SPAN_DURATION, own, _GOOD)
        if found:
            return "slo_events", found
        found = self._routes(f"{HTTP}_count", HTTP, f"job={quote(service)},{_EXCLUDED}", _GOOD_HTTP)
        if not found:
            raise ValueError(f"no entry spans and no HTTP requests of '{service}' in the last {self._window}")
        return "http_server", found

    def _routes(self, calls: str, duration: str, own: str, is_good: str) -> list[Route]:
        """Return each route with its events; of the fast ones those that are good, as a latency objective counts."""
        every, good = self._events(f"{calls}{{{own}}}"), self._events(f"{calls}{{{own},{is_good}}}")
        within: dict[str, dict[float, float]] = {}
        fast = f"{duration}_bucket{{{own},{is_good}}}"
        for each in self._ask(f"sum by (http_route, le) (increase({fast}[{self._window}]))") if every else ():
            edge = float(each["metric"].get("le", "inf"))
            if edge != float("inf"):
                route = str(each["metric"].get("http_route", ""))
                within.setdefault(route, {})[edge] = float(each["value"][1])
        return [
            Route(route, events, max(events - good.get(route, 0.0), 0.0), within.get(route, {}))
            for route, events in every.items()
            if events > 0
        ]

    def _events(self, selector: str) -> dict[str, float]:
        return self._by("http_route", f"sum by (http_route) (increase({selector}[{self._window}]))")

    def _by(self, label: str, expr: str) -> dict[str, float]:
        return {str(each["metric"].get(label, "")): float(each["value"][1]) for each in self._ask(expr)}

    def _ask(self, expr: str) -> list[dict[str, Any]]:
        return self._prometheus.query(expr, self._moment)
