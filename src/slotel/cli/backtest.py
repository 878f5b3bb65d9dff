"""`slotel backtest`: which alerts would have fired in the last weeks, asked of the counters in Prometheus.

Shown on a terminal or as HTML: a timeline, the alerts, missed incidents, alternatives.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slotel.cli.load import load_all_or_exit, takes_configs
from slotel.cli.prometheus.api import PrometheusApi, PrometheusError
from slotel.cli.prometheus.options import end_option, header_option, url_option
from slotel.cli.terminal import FILE_WIDTH, terminal
from slotel.compile import conventions as at
from slotel.compile.backtest import Backtest, Fired, Incident, Past, backtest
from slotel.compile.history import STEP, Clock, Series, direct_queries, recorded
from slotel.compile.prometheus.alerts import alert_rules
from slotel.compile.sources import counts
from slotel.config.duration import parse_duration
from slotel.config.ratio import shown
from slotel.config.service import Service
from slotel.config.slo import Slo
from slotel.runtime.status_page.words import age

MOST_DAYS: Final = 100
WIDTH: Final = 72
"""Characters of the timeline."""
COLOURS: Final = {"page": "bold red", "ticket": "yellow", "missed": "magenta"}
_MOST: Final = 20
"""Rows of a table on a terminal."""


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


# -- on a terminal, or as HTML -----------------------------------------------------------------------------------


def report(found: Sequence[Backtest]) -> str:
    """Return every backtest as one HTML document without scripts, links and limits."""
    console = Console(record=True, file=io.StringIO(), width=FILE_WIDTH, highlight=False, soft_wrap=True)
    for each in found:
        show(each, console, sys.maxsize)
        console.print()
    return console.export_html()


def show(found: Backtest, console: Console | None = None, most: int = _MOST) -> None:
    """Print the backtest of one objective.

    Args:
        console: default: the terminal.
        most: rows of a table.
    """
    if console is None:
        console = terminal()
    console.print(
        Text(f"{found.service} / {found.slo}", "bold cyan"),
        Text(f"{_moment(found.begin)} – {_moment(found.end)} UTC"),
    )
    if found.good is None:
        console.print("  no events: the store has no counters of this objective in this time")
        return
    spare = found.remaining
    left = "" if spare is None else f", {shown(spare * 100)} % of the budget left at the end"
    console.print(f"  {found.good * 100:.6g} % good, the objective is {found.objective * 100:.10g} %{left}")
    if found.silent:
        console.print(f"  nothing was counted for {age(found.silent)}")
    for line in _timeline(found):
        console.print(line)
    console.print(_fired(found, most))
    for each in found.missed[:most]:
        console.print(
            Text("  missed ", COLOURS["missed"]),
            f"{_moment(each.begin)}, {age(each.end - each.begin)}: {each.bad:.0f} bad, "
            f"{shown(each.spent * 100)} % of the budget, no alert{_in(each.group)}",
            sep="",
        )
    console.print(_alternatives(found))


def _timeline(found: Backtest) -> list[Text]:
    """Return a line for each severity: where in the time an alert was firing."""
    lines = []
    length = max(found.end - found.begin, 1)
    rows: dict[str, Sequence[Fired | Incident]] = {
        "page": [each for each in found.fired if each.severity == "page"],
        "ticket": [each for each in found.fired if each.severity != "page"],
        "missed": found.missed,
    }
    for name, events in rows.items():
        cells = [" "] * WIDTH
        for each in events:
            first = int((each.begin - found.begin) * WIDTH / length)
            last = int((each.end - found.begin) * WIDTH / length)
            for index in range(max(first, 0), min(last, WIDTH - 1) + 1):
                cells[index] = "█"
        lines.append(Text(f"  {name:>6} ▏").append("".join(cells), COLOURS[name]).append("▕"))
    return lines


def _fired(found: Backtest, most: int) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for title in ("", "alert", "from", "for", "budget spent"):
        table.add_column(title, no_wrap=title != "alert", overflow="fold")  # the name alone gives way
    for each in found.fired[:most]:
        spent = "" if each.spent is None else f"{shown(each.spent * 100)} %"
        severity = Text(each.severity, COLOURS["page" if each.severity == "page" else "ticket"])
        name = f"{each.alert} {each.windows}{_in(each.group)}"
        table.add_row(severity, name, _moment(each.begin), age(each.end - each.begin), spent)
    if len(found.fired) > most:
        table.add_row("", f"and {len(found.fired) - most} more: --json or --html has all")
    if not found.fired:
        table.add_row("", "no alert")
    return table


def _alternatives(found: Backtest) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for title in ("with", "pages", "tickets", "missed"):
        table.add_column(title, no_wrap=True)
    pages = sum(each.severity == "page" for each in found.fired)
    table.add_row(Text("as it is", "bold"), str(pages), str(len(found.fired) - pages), str(len(found.missed)))
    for each in found.alternatives:
        table.add_row(each.setting, str(each.pages), str(each.tickets), str(each.missed))
    return table


def _in(group: str) -> str:
    return f" ({group})" if group else ""


def _moment(seconds: float) -> str:
    """Return a time as `2026-11-28 17:15`, UTC.

    >>> _moment(0)
    '1970-01-01 00:00'
    """
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
