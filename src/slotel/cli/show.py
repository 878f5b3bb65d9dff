"""Shows an explained objective on a terminal. Computes nothing."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLOURS = {"page": "bold red", "ticket": "yellow"}


def show_objective(objective: dict[str, Any], console: Console | None = None) -> None:
    """Print one objective, as `slotel.compile.explanation.explain` returned it."""
    console = console or Console(highlight=False, soft_wrap=True)
    console.print(Text(objective["name"], style="bold cyan"), Text(f"— {objective['objective']}."))
    for title in ("counted", "bad", "excluded"):
        for line in objective[title]:
            console.print(Text(f"  {title:>9}  ", style="dim"), Text(line), sep="")
    traffic = objective["traffic"]
    period = f"a {objective['period']}" if objective["period"].isalpha() else objective["period"]
    at_rate = f", at {traffic['events_per_second']:g} a second" if traffic["counted"] == "events" else ""
    console.print(
        Text("     budget  ", style="dim"),
        f"{_count(traffic['allowed_bad_per_period'])} of {_count(traffic['counted_per_period'])} {traffic['counted']} "
        f"in {period}{at_rate}; "
        f"or {_seconds(traffic['allowed_outage_seconds'])} of total outage",
        sep="",
    )
    least = objective["min_bad_events"]
    limit = f"ErrorBudgetLimitExceeded at {objective['limit_alert']}; " if objective["limit_alert"] else ""
    console.print(
        Text("     alerts  ", style="dim"),
        f"{limit}{objective['burn_alert']} as below; none for fewer than {least} bad {traffic['counted']}",
        sep="",
    )
    console.print(
        Text("  in an outage of so many errors: seen after how long, how much of the budget is spent", "dim")
    )
    console.print(_burn_rate_alerts(objective))


def _burn_rate_alerts(objective: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    for title in ("", "windows", "burn", "errors"):
        table.add_column(title, no_wrap=True)
    for outage in objective["tiers"][0]["outages"]:
        table.add_column(f"at {outage['outage']}", no_wrap=True)
    for alert in objective["tiers"]:
        windows = f"{_seconds(alert['long_seconds'])}/{_seconds(alert['short_seconds'])}"
        threshold = f"> {alert['threshold_ratio'] * 100:.6g} %"
        cells = [windows, f"{alert['burn_rate']:g}×", threshold]
        cells += (
            [_outage(outage) for outage in alert["outages"]]
            if alert["reachable"]
            else ["omitted: it can never fire"]
        )
        table.add_row(Text(alert["severity"], style=_COLOURS[alert["severity"]]), *cells)
    return table


def _outage(outage: dict[str, Any]) -> str:
    seconds, spent = outage["detected_after_seconds"], outage["budget_spent_ratio"]
    return "never" if seconds is None else f"{_seconds(seconds)}, {spent * 100:.3g} %"


def _count(events: float) -> str:
    return f"{events:,.0f}" if events >= 10 else f"{events:.3g}"  # noqa: PLR2004 few are worth their fraction


def _seconds(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.3g}{name}"
    return f"{seconds:.3g}s"
