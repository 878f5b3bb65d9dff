"""`slotel explain`: each objective in words and numbers, in colour for people, as JSON for machines."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from slotel.cli.load import inform, load_all_or_exit, takes_configs
from slotel.cli.terminal import terminal
from slotel.compile.explanation import explain
from slotel.compile.warnings import warnings
from slotel.config.problem import one_line
from slotel.config.ratio import shown

_COLOURS = {"page": "bold red", "ticket": "yellow"}


@click.command()
@takes_configs
@click.option(
    "--rate",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Events a second that the service gets in the long run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(configs: tuple[str, ...], rate: float, as_json: bool) -> None:
    """Explain each objective in words: what counts, how much may fail, when which alert fires."""
    documents: list[dict[str, Any]] = [
        {
            "service": reading.service.name,
            "objectives": [explain(reading.service, slo, rate) for slo in reading.service.slos],
            "notes": [*reading.notes, *warnings(reading.service)],
        }
        for reading in load_all_or_exit(configs)
    ]
    if as_json:
        printed = documents[0] if len(documents) == 1 else documents
        click.echo(json.dumps(printed, indent=2, ensure_ascii=False))
        return
    for document in documents:
        for objective in document["objectives"]:
            _show(objective)
        for note in document["notes"]:
            inform(note)


def _show(objective: dict[str, Any]) -> None:
    """Print one objective, as `explain` returned it."""
    console = terminal()
    console.print(
        Text(one_line(objective["name"]), style="bold cyan"), Text(one_line(f"— {objective['objective']}."))
    )
    rows = [(title, one_line(line)) for title in ("counted", "bad", "excluded") for line in objective[title]]
    traffic = objective["traffic"]
    period = f"a {objective['period']}" if objective["period"].isalpha() else objective["period"]
    at_rate = f", at {traffic['events_per_second']:g} a second" if traffic["counted"] == "events" else ""
    budget = (
        f"{_count(traffic['allowed_bad_per_period'])} of {_count(traffic['counted_per_period'])} {traffic['counted']} "
        f"in {period}{at_rate}; or {_seconds(traffic['allowed_outage_seconds'])} of total outage"
    )
    least = objective["min_bad_events"]
    limit = f"ErrorBudgetLimitExceeded at {objective['limit_alert']}; " if objective["limit_alert"] else ""
    alerts = (
        f"{limit}{objective['burn_alert']} as below; none for fewer than {least} bad {traffic['counted']}"
    )
    for title, line in (*rows, ("budget", budget), ("alerts", alerts)):
        console.print(Text(f"  {title:>9}  ", style="dim"), Text(line), sep="")
    console.print(
        Text("  in an outage of so many errors: seen after how long, how much of the budget is spent", "dim")
    )
    console.print(_burn_rate_alerts(objective))


def _burn_rate_alerts(objective: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    for title in ("", "windows", "burn", "errors"):
        table.add_column(title, no_wrap=True)
    for outage in objective["tiers"][0]["outages"]:
        table.add_column(f"at {outage['outage']}", overflow="fold")  # in a narrow terminal these give way
    for alert in objective["tiers"]:
        windows = f"{_seconds(alert['long_seconds'])}/{_seconds(alert['short_seconds'])}"
        threshold = f"> {shown(alert['threshold_ratio'] * 100, 6)} %"
        cells = [windows, f"{shown(alert['burn_rate'], 6)}×", threshold]
        cells += (
            [_outage(outage) for outage in alert["outages"]]
            if alert["reachable"]
            else ["omitted: it can never fire"]
        )
        table.add_row(Text(alert["severity"], style=_COLOURS[alert["severity"]]), *cells)
    return table


def _outage(outage: dict[str, Any]) -> str:
    seconds, spent = outage["detected_after_seconds"], outage["budget_spent_ratio"]
    return "never" if seconds is None else f"{_seconds(seconds)}, {shown(spent * 100)} %"


def _count(events: float) -> str:
    return f"{events:,.0f}" if events >= 10 else shown(events)  # noqa: PLR2004 few are worth their fraction


def _seconds(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{shown(seconds / size)}{name}"
    return f"{shown(seconds)}s"
