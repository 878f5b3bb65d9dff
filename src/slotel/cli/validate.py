"""`slotel validate`: prints each problem of the configuration on a line, and exits with 1 if there is one."""

from __future__ import annotations

import json
import re
from typing import Final

import click

from slotel.cli.generate import compile_all
from slotel.cli.load import complain, inform, load_all, takes_configs, unnamed, without_secrets
from slotel.compile.warnings import warnings
from slotel.config.problem import Problem
from slotel.config.service import Reading, Service

_PLACE: Final = re.compile(r"(\S+?):(\d+)\b")
"""File and line at the beginning of a problem's place."""


@click.command()
@takes_configs
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github: annotations of a GitHub workflow, at file and line.",
)
def command(configs: tuple[str, ...], as_json: bool, form: str) -> None:
    """Check slotel.yaml and the environment: each fault with its line, its place and what was expected."""
    found = [_checked(reading) for reading in load_all(configs)]
    if form == "github":
        for each in found:
            _annotate(each)
    elif as_json or form == "json":
        shown = [
            {
                "service": each.service.name,
                "problems": [p._asdict() for p in each.problems],
                "notes": [without_secrets(note) for note in each.notes],
            }
            for each in found
        ]
        click.echo(json.dumps(shown[0] if len(shown) == 1 else shown, indent=2, ensure_ascii=False))
    else:
        for each in found:
            _show(each)
    if any(each.problems for each in found):
        raise SystemExit(1)


def _checked(reading: Reading) -> Reading:
    """Return the reading with all that is shown of it, without secrets."""
    service = reading.service
    problems = (*reading.problems, *unnamed(reading)) or _uncompilable(service)
    # defaults that replace a wrong part are not reported
    notes = () if problems else (*reading.notes, *warnings(service))
    problems = tuple(
        each._replace(place=without_secrets(each.place), expectation=without_secrets(each.expectation))
        for each in problems
    )
    return Reading(service, problems, notes)


def _show(found: Reading) -> None:
    complain(found.problems)
    for note in found.notes:
        inform(note)
    if not found.problems:
        objectives = ", ".join(f"{slo.name} ({slo.objective * 100:.10g} %)" for slo in found.service.slos)
        click.secho("ok    ", fg="green", bold=True, nl=False)
        click.echo(without_secrets(f"{found.service.name}: {objectives}"))


def _annotate(found: Reading) -> None:
    """Write workflow commands, which GitHub shows as annotations of the file that is named."""
    for problem in found.problems:
        match = _PLACE.match(problem.place)
        where = f"file={_property(match[1])},line={match[2]}," if match else ""
        click.echo(
            f"::error {where}title=slotel {problem.code}::{_data(f'{problem.place}: {problem.expectation}')}"
        )
    for note in found.notes:
        click.echo(f"::notice title=slotel::{_data(without_secrets(note))}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _uncompilable(service: Service) -> tuple[Problem, ...]:
    try:
        compile_all(service)
    except ValueError as error:
        return (Problem(f"service '{service.name}'", str(error), "nothing is generated"),)
    return ()
