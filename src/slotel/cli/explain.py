"""`slotel explain`: each objective in words and numbers, in colour for people, as JSON for machines."""

from __future__ import annotations

import json
from typing import Any

import click

from slotel.cli.load import configs_option, inform, load_all_or_exit


@click.command()
@configs_option
@click.option(
    "--rate",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Events a second that the service gets in the long run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(configs: tuple[str, ...], rate: float, as_json: bool) -> None:
    """Say what each objective means: what counts, how much may fail, when which alert fires."""
    from slotel.compile.explanation import explain
    from slotel.compile.warnings import warnings

    documents: list[dict[str, Any]] = [
        {
            "service": reading.service.name,
            "objectives": [explain(reading.service, slo, rate) for slo in reading.service.slos],
            "notes": [*reading.notes, *warnings(reading.service)],
        }
        for reading in load_all_or_exit(configs)
    ]
    if as_json:
        shown = documents[0] if len(documents) == 1 else documents
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    from slotel.cli.show import show_objective

    for document in documents:
        for objective in document["objectives"]:
            show_objective(objective)
        for note in document["notes"]:
            inform(note)
