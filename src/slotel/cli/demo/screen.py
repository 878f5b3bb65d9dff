"""The demo's screen: the numbers, live, in a terminal."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from slotel.cli.demo.load import PHASES
from slotel.cli.demo.run import Demo, Numbers


def watch(demo: Demo, console: Console) -> Numbers:
    """Show the numbers until the load is over; return the last ones.

    Ctrl-C ends the load early and shows what there is.
    """
    started = time.monotonic()
    numbers = demo.numbers()
    console.print(
        f"Open the status page in a browser: [bold]{demo.page_url}[/bold]\nIt shows, one after the other:"
    )
    for phase in PHASES:
        console.print(f"  [bold]{phase.name}[/bold]\n    {phase.look}")
    with Live(console=console, refresh_per_second=4) as live:
        try:
            while demo.load.running:
                numbers = demo.numbers()
                live.update(render(demo, numbers, time.monotonic() - started))
                time.sleep(0.5)
        except KeyboardInterrupt:
            console.print("ending the load …")
        demo.load.stop()
        numbers = demo.settled()
        live.update(render(demo, numbers, time.monotonic() - started))
    return numbers


def render(demo: Demo, numbers: Numbers, elapsed: float) -> Panel:
    """Return the screen for the numbers after `elapsed` seconds."""
    table = Table.grid(padding=(0, 2))
    rate = numbers.requests_sent / elapsed if elapsed else 0.0
    table.add_row(
        "requests", f"{numbers.requests_sent} sent, {numbers.requests_counted} counted, {rate:.0f}/s"
    )
    table.add_row(
        "outcomes", f"{numbers.good} good, {numbers.bad} bad, {numbers.excluded} excluded (health checks)"
    )
    table.add_row("latency", f"p50 {numbers.p50_ms:.1f} ms, p95 {numbers.p95_ms:.1f} ms")
    table.add_row("error rate", f"{numbers.error_ratio:.2%} of a limit of {numbers.budget_limit:.2%}")
    table.add_row("budget left", _bar(numbers.budget_remaining))
    table.add_row(
        "Sentry",
        f"{numbers.sentry_issues} errors, {numbers.sentry_transactions} traces (25 % and all errors)",
    )
    for title in demo.issues(3):
        table.add_row("", Text(title, style="red", no_wrap=True, overflow="ellipsis"))
    table.add_row("metrics", demo.metrics_url)
    phase = demo.load.phase
    table.add_row("now", f"[bold]{phase.name}[/bold]: {phase.look}")
    title = f"slotel demo: open {demo.page_url}"
    return Panel(Group(table), title=title, expand=False)


def _bar(remaining: float) -> Table:
    bar = Table.grid(padding=(0, 1))
    style = "green" if remaining > 0.5 else "yellow" if remaining > 0 else "red"  # noqa: PLR2004 half, by eye
    bar.add_row(
        ProgressBar(
            total=1, completed=max(remaining, 0), width=30, complete_style=style, finished_style=style
        ),
        f"{remaining:.0%}",
    )
    return bar
