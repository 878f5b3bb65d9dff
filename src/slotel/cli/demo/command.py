"""The command `slotel demo`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="How long requests are sent.")
@click.option("--headless", is_flag=True, help="Show nothing live; print a summary at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(seconds: float, headless: bool, as_json: bool) -> None:
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
    with tempfile.TemporaryDirectory(prefix="slotel-demo-") as folder:
        log = Path(folder) / "service.log"
        try:
            with running(seconds, log) as started:
                if headless:
                    click.echo(f"status page: {started.page_url}", err=True)
                    started.load.join()
                    numbers = started.settled()
                else:
                    numbers = watch(started, Console(stderr=as_json))
        except RuntimeError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            output = log.read_text() if log.exists() else ""
            raise click.ClickException(f"the service's metrics do not answer: {error}\n{output}") from error
        said = [line for line in log.read_text().splitlines() if " slotel: " in line]
    if as_json:
        click.echo(json.dumps(numbers.as_json(), indent=2))
    else:
        click.echo("what the service's log said of slotel:")
        click.echo("\n".join(f"  {line}" for line in said))
        for name, value in numbers.as_json().items():
            click.echo(f"{name:>22}  {value}")
    if not numbers.exact:
        raise SystemExit(1)
