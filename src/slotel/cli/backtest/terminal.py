"""Shows a backtest on a terminal: a timeline, the alerts, what was missed, what would change it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from slotel.compile.backtest import Backtest, Fired, Incident

WIDTH: Final = 72
"""Characters of the timeline."""
COLOURS: Final = {"page": "bold red", "ticket": "yellow", "missed": "magenta"}
_MOST: Final = 20


def show(found: Backtest) -> None:
    """Print the backtest of one objective."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        Text(f"{found.service} / {found.slo}", "bold cyan"),
        Text(f"{moment(found.begin)} – {moment(found.end)} UTC"),
    )
    if found.good is None:
        console.print("  no events: the store has no counters of this objective in this time")
        return
    console.print(
        f"  {found.good * 100:.6g} % good, the objective is {found.objective * 100:.10g} %{left(found)}"
    )
    if found.silent:
        console.print(f"  nothing was counted for {lasted(found.silent)}")
    for line in timeline(found):
        console.print(line)
    console.print(_fired(found))
    for each in found.missed[:_MOST]:
        console.print(
            Text("  missed ", COLOURS["missed"]),
            f"{moment(each.begin)}, {lasted(each.end - each.begin)}: {each.bad:.0f} bad, "
            f"{each.spent * 100:.3g} % of the budget, no alert{_in(each.group)}",
            sep="",
        )
    console.print(_alternatives(found))


def timeline(found: Backtest) -> list[Text]:
    """Return a line for each severity: where in the time an alert was firing."""
    lines = []
    length = max(found.end - found.begin, 1)
    for name, events in by_severity(found).items():
        cells = [" "] * WIDTH
        for each in events:
            first = int((each.begin - found.begin) * WIDTH / length)
            last = int((each.end - found.begin) * WIDTH / length)
            for index in range(max(first, 0), min(last, WIDTH - 1) + 1):
                cells[index] = "█"
        lines.append(Text(f"  {name:>6} ▏").append("".join(cells), COLOURS[name]).append("▕"))
    return lines


def _fired(found: Backtest) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for title in ("", "alert", "from", "for", "budget spent by then"):
        table.add_column(title, no_wrap=True)
    for each in found.fired[:_MOST]:
        spent = "" if each.spent is None else f"{each.spent * 100:.3g} %"
        severity = Text(each.severity, COLOURS["page" if each.severity == "page" else "ticket"])
        name = f"{each.alert} {each.windows}{_in(each.group)}"
        table.add_row(severity, name, moment(each.begin), lasted(each.end - each.begin), spent)
    if len(found.fired) > _MOST:
        table.add_row("", f"and {len(found.fired) - _MOST} more: --json or --html has all")
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


def left(found: Backtest) -> str:
    """Return the end of the sentence on the objective: what was left of its budget."""
    return "" if found.remaining is None else f", {found.remaining * 100:.3g} % of the budget left at the end"


def by_severity(found: Backtest) -> dict[str, Sequence[Fired | Incident]]:
    """Return the rows of a timeline: what fired by severity, and what was missed."""
    return {
        "page": [each for each in found.fired if each.severity == "page"],
        "ticket": [each for each in found.fired if each.severity != "page"],
        "missed": found.missed,
    }


def moment(seconds: float) -> str:
    """Return a time as `2026-11-28 17:15`, UTC.

    >>> moment(0)
    '1970-01-01 00:00'
    """
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def lasted(seconds: float) -> str:
    """Return how long something lasted, in its two largest units.

    >>> lasted(5400), lasted(90)
    ('1 h 30 min', '1 min 30 s')
    """
    parts, rest = [], int(seconds)
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
