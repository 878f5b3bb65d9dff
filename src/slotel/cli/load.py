"""What the commands read: the configuration they judge, and how they say what is wrong with it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

import click

from slotel.config.foreign.formats import read_any
from slotel.config.load import read_configuration
from slotel.config.problem import Problem
from slotel.config.service import Reading

SERVICE_NAME: Final = "OTEL_SERVICE_NAME"

config_option = click.option(
    "--config",
    metavar="FILE",
    help="slotel.yaml, or an OpenSLO v1 or Sloth prometheus/v1 file. "
    "Default: SLOTEL_CONFIG, else slotel.yaml here, else the environment alone.",
)


def load(config: str | None) -> Reading:
    """Return the service as the file and the environment describe it, under the name it will have."""
    reading = read_configuration(os.environ, config, read_any)
    name = os.environ.get(SERVICE_NAME, "").strip() or reading.service.name
    return replace(reading, service=replace(reading.service, name=name))


def load_or_exit(config: str | None) -> Reading:
    """Return a service that has a name and no fault; otherwise say every fault, one a line, and exit 1."""
    reading = load(config)
    problems = (*reading.problems, *unnamed(reading))
    if problems:
        complain(problems)
        raise SystemExit(1)
    return reading


def unnamed(reading: Reading) -> tuple[Problem, ...]:
    """Return the one fault of a service without a name, if no other fault may be the reason."""
    if reading.service.name or reading.problems:
        return ()
    return (
        Problem("service", f"give it a name: 'service: checkout' in slotel.yaml, or {SERVICE_NAME}", "none"),
    )


def complain(problems: tuple[Problem, ...]) -> None:
    """Write each problem as one line to stderr."""
    for problem in problems:
        click.secho("wrong ", fg="red", bold=True, nl=False, err=True)
        click.secho(problem.place, bold=True, nl=False, err=True)
        click.echo(f": {problem.expectation}", err=True)
