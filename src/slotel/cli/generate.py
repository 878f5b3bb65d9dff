"""`slotel generate`: gathers what the compilers make of a service and writes all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from slotel.cli.load import config_option, load_or_exit
from slotel.cli.write import differing, write_all
from slotel.config.service import Service

COMPILERS: Final = (
    "slotel.compile.rules",
    "slotel.compile.promtests",
    "slotel.compile.alertmanager",
    "slotel.compile.collector",
    "slotel.compile.dashboards",
    "slotel.compile.provisioning",
    "slotel.compile.sentry_api",
)
"""Modules with `files(service) -> Mapping[str, str]`: relative path → content, the same for the same service."""


def compile_all(service: Service) -> dict[str, str]:
    """Return every generated file of a service by its relative path.

    Raises:
        ValueError: an objective cannot be compiled, with the reason.
    """
    files: dict[str, str] = {}
    for module in COMPILERS:
        made: Mapping[str, str] = import_module(module).files(service)
        files.update(made)
    return dict(sorted(files.items()))


@click.command()
@config_option
@click.option(
    "--out", metavar="DIR", required=True, help="Where the files go; it is made if it is not there."
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is missing or differs.")
def command(config: str | None, out: str, check: bool) -> None:
    """Write Prometheus rules with their tests, alerts, dashboards and what else follows from slotel.yaml."""
    from slotel.compile.warnings import warnings

    reading = load_or_exit(config)
    service = reading.service
    try:
        files = compile_all(service)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for warning in (*reading.notes, *warnings(service)):
        click.secho("note ", fg="yellow", bold=True, nl=False, err=True)
        click.echo(warning, err=True)
    if check:
        _check(Path(out), files)
        return
    try:
        write_all(Path(out), files)
    except OSError as error:
        raise click.ClickException(f"{out}: nothing was changed: {error.strerror or error}") from error
    for path in files:
        click.echo(str(Path(out) / path))


def _check(out: Path, files: Mapping[str, str]) -> None:
    stale = differing(out, files)
    for path in stale:
        click.echo(f"{out / path}: is not what slotel generate writes now", err=True)
    if stale:
        raise SystemExit(1)
    click.echo(f"{len(files)} files are up to date")
