"""`slotel explain`: each objective in words and numbers, in colour for people, as JSON for machines."""

from __future__ import annotations

import json

import click

from slotel.cli.load import config_option, load_or_exit


@click.command()
@config_option
@click.option(
    "--rate",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Events a second that the service gets in the long run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(config: str | None, rate: float, as_json: bool) -> None:
    """Say what each objective means: what counts, how much may fail, when which alert fires."""
    from slotel.compile.explanation import explain
    from slotel.compile.warnings import warnings

    reading = load_or_exit(config)
    service = reading.service
    explained = [explain(service, slo, rate) for slo in service.slos]
    notes = [*reading.notes, *warnings(service)]
    if as_json:
        document = {"service": service.name, "objectives": explained, "notes": notes}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    from slotel.cli.show import show_objective

    for objective in explained:
        show_objective(objective)
    for note in notes:
        click.secho("note ", fg="yellow", bold=True, nl=False)
        click.echo(note)
