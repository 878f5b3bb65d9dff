"""`slotel validate`: says what is wrong with the configuration, a line each, and exits 1 if anything is."""

from __future__ import annotations

import json

import click

from slotel.cli.load import complain, config_option, load, unnamed
from slotel.config.problem import Problem
from slotel.config.service import Service


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(config: str | None, as_json: bool) -> None:
    """Check slotel.yaml and the environment: each fault with its line, its place and what was expected."""
    from slotel.compile.warnings import warnings

    reading = load(config)
    service = reading.service
    problems = (*reading.problems, *unnamed(reading))
    if not problems:
        problems = _uncompilable(service)
    notes = [] if problems else [*reading.notes, *warnings(service)]  # of what stands in for a wrong part
    if as_json:
        findings = {
            "service": service.name,
            "problems": [each._asdict() for each in problems],
            "notes": notes,
        }
        click.echo(json.dumps(findings, indent=2, ensure_ascii=False))
    else:
        complain(problems)
        for note in notes:
            click.secho("note ", fg="yellow", bold=True, nl=False)
            click.echo(note)
        if not problems:
            objectives = ", ".join(f"{slo.name} ({slo.objective * 100:.10g} %)" for slo in service.slos)
            click.secho("fine ", fg="green", bold=True, nl=False)
            click.echo(f"{service.name}: {objectives}")
    if problems:
        raise SystemExit(1)


def _uncompilable(service: Service) -> tuple[Problem, ...]:
    from slotel.cli.generate import compile_all

    try:
        compile_all(service)
    except ValueError as error:
        return (Problem("monitoring.source", str(error), "nothing is generated"),)
    return ()
