"""The command `slotel demo`."""

from __future__ import annotations

import json
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from slotel.cli.local import free_port

if TYPE_CHECKING:
    from slotel.cli.demo.run import Numbers

_WIDTH: Final = 79
"""Columns of the summary, also where it is piped."""


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="How long requests are sent.")
@click.option(
    "--port", default=9464, show_default=True, help="Port of the status page and of /metrics; 0: any."
)
@click.option("--stay", is_flag=True, help="Keep running after that, without errors, until Ctrl-C.")
@click.option("--headless", is_flag=True, help="Show no live screen; print a summary at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(seconds: float, port: int, *, stay: bool, headless: bool, as_json: bool) -> None:
    """Run a sample service under slotel, with load, errors and a local Sentry sink.

    Exits with 1 unless requests sent = counted = good + bad + excluded and errors raised = Sentry issues received.
    """
    try:
        from rich.console import Console

        from slotel.cli.demo.run import running
        from slotel.cli.demo.screen import watch
        from slotel.cli.demo.shop import app  # noqa: F401 the service's own needs, asked for before anything starts
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: run: pip install 'slotel[demo]'") from error
    chosen = free_port(port)
    if port and chosen != port:
        click.echo(f"port {port} is in use: the status page is on port {chosen}", err=True)
    with tempfile.TemporaryDirectory(prefix="slotel-demo-") as folder:
        log = Path(folder) / "service.log"
        try:
            with running(seconds, log, chosen) as started:
                if headless:
                    click.echo(f"status page: {started.page_url}", err=True)
                    started.load.join()
                    numbers = started.settled()
                else:
                    numbers = watch(started, Console(stderr=as_json))
                _report(numbers, log, as_json=as_json)
                if stay:
                    click.echo(f"The service goes on at {started.page_url} until you press Ctrl-C.", err=True)
                    started.stay()
        except RuntimeError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            output = log.read_text() if log.exists() else ""
            raise click.ClickException(f"the service's metrics do not answer: {error}\n{output}") from error
    if not numbers.exact:
        raise SystemExit(1)


def _report(numbers: Numbers, log: Path, *, as_json: bool) -> None:
    """Write the summary to standard output."""
    if as_json:
        click.echo(json.dumps(numbers.as_json(), indent=2))
        return
    click.echo("\nWhat the service's log said of slotel:")
    for line in log.read_text().splitlines():
        if " slotel: " in line:
            click.echo(textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="    "))
    click.echo("\nSummary:")
    for name, value in numbers.as_json().items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        click.echo(f"{name.replace('_', ' '):>21}  {shown}")
