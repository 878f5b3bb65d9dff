"""`slotel validate`: says what is wrong with the configuration, a line each, and exits 1 if anything is."""

from __future__ import annotations

import json
from typing import NamedTuple

import click

from slotel.cli.load import complain, configs_option, inform, load_all, unnamed
from slotel.config.problem import Problem
from slotel.config.service import Reading, Service


@click.command()
@configs_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(configs: tuple[str, ...], as_json: bool) -> None:
    """Check slotel.yaml and the environment: each fault with its line, its place and what was expected."""
    found = [_findings(reading) for reading in load_all(configs)]
    if as_json:
        shown = [
            {
                "service": each.service.name,
                "problems": [p._asdict() for p in each.problems],
                "notes": each.notes,
            }
            for each in found
        ]
        click.echo(json.dumps(shown[0] if len(shown) == 1 else shown, indent=2, ensure_ascii=False))
    else:
        for each in found:
            _show(each)
    if any(each.problems for each in found):
        raise SystemExit(1)


class _Findings(NamedTuple):
    service: Service
    problems: tuple[Problem, ...]
    notes: list[str]


def _findings(reading: Reading) -> _Findings:
    from slotel.compile.warnings import warnings

    service = reading.service
    problems = (*reading.problems, *unnamed(reading)) or _uncompilable(service)
    # nothing is said of what stands in for a wrong part
    return _Findings(service, problems, [] if problems else [*reading.notes, *warnings(service)])


def _show(found: _Findings) -> None:
    complain(found.problems)
    for note in found.notes:
        inform(note)
    if not found.problems:
        objectives = ", ".join(f"{slo.name} ({slo.objective * 100:.10g} %)" for slo in found.service.slos)
        click.secho("ok    ", fg="green", bold=True, nl=False)
        click.echo(f"{found.service.name}: {objectives}")


def _uncompilable(service: Service) -> tuple[Problem, ...]:
    from slotel.cli.generate import compile_all

    try:
        compile_all(service)
    except ValueError as error:
        return (Problem("monitoring.source", str(error), "nothing is generated"),)
    return ()
