"""`slotel backtest`: which alerts would have fired in the last weeks, asked of the counters in Prometheus."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from slotel.cli.backtest.terminal import report, show
from slotel.cli.load import load_all_or_exit, takes_configs
from slotel.cli.prometheus.api import PrometheusApi, PrometheusError
from slotel.cli.prometheus.options import end_option, header_option, url_option
from slotel.compile import conventions as at
from slotel.compile.backtest import Backtest, Past, backtest
from slotel.compile.history import STEP, Clock, Series, direct_queries, recorded
from slotel.compile.prometheus.alerts import alert_rules
from slotel.compile.sources import counts
from slotel.config.duration import parse_duration
from slotel.config.service import Service
from slotel.config.slo import Slo

MOST_DAYS: Final = 100


@click.command()
@takes_configs
@url_option
@header_option
@click.option(
    "--last", default="30d", show_default=True, metavar="DURATION", help="How far back, up to 100d."
)
@end_option("--until")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--html", metavar="FILE", help="Write a report as HTML.")
def command(
    configs: tuple[str, ...],
    url: str,
    headers: tuple[str, ...],
    last: str,
    moment: float | None,
    as_json: bool,
    html: str | None,
) -> None:
    """Evaluate the rules over the past: which alerts would have fired, when, and with how much budget spent.

    It assumes that the rules were loaded at the start of that time, and reads the counters of the store.
    """
    readings = load_all_or_exit(configs)
    try:
        seconds = parse_duration(last)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--last") from error
    if seconds > MOST_DAYS * 86400:
        raise click.BadParameter(f"at most {MOST_DAYS}d", param_hint="--last")
    try:
        found = backtest_all(
            [reading.service for reading in readings],
            PrometheusApi(url, headers),
            seconds,
            moment or time.time(),
        )
    except (PrometheusError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if html:
        Path(html).write_text(report(found), encoding="utf-8")
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
        return
    for each in found:
        show(each)
    if html:
        click.echo(html)


def backtest_all(
    services: list[Service], prometheus: PrometheusApi, seconds: float, until: float
) -> list[Backtest]:
    """Return the past of every objective.

    Raises:
        PrometheusError: the store cannot be asked.
    """
    length = max(int(seconds) // STEP, 2)
    start = int(until) // STEP * STEP - (length - 1) * STEP
    clock = Clock(start, length, left_open=prometheus.left_open())
    return [
        backtest(service, slo, pasts(service, slo, prometheus, clock), clock)
        for service in services
        for slo in service.slos
    ]


def pasts(service: Service, slo: Slo, prometheus: PrometheusApi, clock: Clock) -> list[Past]:
    """Return what the store knows of an objective, by group."""

    def ask(query: str) -> dict[str, Series]:
        found = prometheus.range(query, clock.start, clock.length, STEP)
        return {
            ",".join(dict(labels).get(label, "") for label in at.groups(slo)): values
            for labels, values in found.items()
        }

    asked = {key: ask(query) for key, query in direct_queries(service, slo).items()}
    gone = next(
        rule.expr
        for rule in alert_rules(service, slo, counts(service, slo))
        if rule.labels.get("reason") == "absent"
    )
    absent = [value is not None for value in next(iter(ask(gone).values()), [None] * clock.length)]
    nothing: Series = [None] * clock.length
    groups = sorted({group for values in asked.values() for group in values}) or [""]
    return [
        Past(
            recorded(service, slo, {key: values.get(group, nothing) for key, values in asked.items()}, clock),
            absent if group == groups[0] else (),
            group,
        )
        for group in groups
    ]
