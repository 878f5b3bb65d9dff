"""Shows a backtest on a terminal, or as HTML: a timeline, the alerts, missed incidents, alternatives."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from slotel.compile.backtest import Backtest, Fired, Incident
from slotel.runtime.status_page.words import age

WIDTH: Final = 72
"""Characters of the timeline."""
FILE_WIDTH: Final = 160
"""Characters of a line in a report, a file or a pipe, which are no terminal: nothing is cut."""
COLOURS: Final = {"page": "bold red", "ticket": "yellow", "missed": "magenta"}
_MOST: Final = 20
"""Rows of a table on a terminal."""


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
        console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else FILE_WIDTH)
    console.print(
        Text(f"{found.service} / {found.slo}", "bold cyan"),
        Text(f"{_moment(found.begin)} – {_moment(found.end)} UTC"),
    )
    if found.good is None:
        console.print("  no events: the store has no counters of this objective in this time")
        return
    spare = found.remaining
    left = "" if spare is None else f", {spare * 100:.3g} % of the budget left at the end"
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
            f"{each.spent * 100:.3g} % of the budget, no alert{_in(each.group)}",
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
        spent = "" if each.spent is None else f"{each.spent * 100:.3g} %"
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
