"""`slotel generate`: compiles the objectives of services, and writes all files or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from slotel.cli.load import inform, load_all_or_exit, takes_configs
from slotel.cli.write import differing, write_generated
from slotel.compile.collector import policy
from slotel.compile.warnings import warnings
from slotel.config.service import Service

COMPILERS: Final = {
    "slotel.compile.prometheus.rules": "service",
    "slotel.compile.prometheus.promtests": "service",
    "slotel.compile.prometheus.alertmanager": "service",
    "slotel.compile.collector.policy": "collector",
    "slotel.compile.dashboards": "all",
    "slotel.compile.provisioning": "all",
    "slotel.compile.sentry.api": "process",
}
"""Modules with `files(service) -> Mapping[str, str]`: relative path → content, the same for the same service.

Of several services each has files of its own (`service`; `process`: not where every objective is PromQL); `all` share
their dashboards, and their collectors, so one policy (`collector`).
"""


def compile_all(service: Service, compilers: Iterable[str] = COMPILERS) -> dict[str, str]:
    """Return every generated file of a service by its relative path.

    Raises:
        ValueError: an objective cannot be compiled, with the reason.
    """
    files: dict[str, str] = {}
    for module in compilers:
        made: Mapping[str, str] = import_module(module).files(service)
        files.update(made)
    return dict(sorted(files.items()))


def compile_several(services: Sequence[Service]) -> dict[str, tuple[str, str]]:
    """Return path → (service, content): of one service as `compile_all` has it, of several each in a folder of its own.

    Raises:
        ValueError: an objective cannot be compiled, or two services would share a folder.
    """
    if len(services) == 1:
        return {path: (services[0].name or "", text) for path, text in compile_all(services[0]).items()}
    found: dict[str, tuple[str, str]] = {}
    folders: dict[str, str] = {}
    for service in services:
        name = service.name or ""
        folder = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-") or "service"
        if folders.setdefault(folder, name) != name:
            raise ValueError(
                f"'{name}' and '{folders[folder]}' would share the folder '{folder}': rename one"
            )
        kinds = {"service"} if _is_foreign(service) else {"service", "process"}
        made = compile_all(service, [module for module, kind in COMPILERS.items() if kind in kinds])
        found.update({f"{folder}/{path}": (name, text) for path, text in made.items()})
    shared = [module for module, kind in COMPILERS.items() if kind == "all"]
    found.update({path: ("", text) for path, text in compile_all(services[0], shared).items()})
    measured = [service for service in services if not _is_foreign(service)]
    if measured:
        names = ", ".join(service.name or "" for service in measured)
        policies = policy.files_of(measured, f"the services {names}")
        found.update({path: ("", text) for path, text in policies.items()})
    return found


def _is_foreign(service: Service) -> bool:
    """Whether every objective is PromQL, so that nothing is known of the process."""
    return all(slo.queries is not None for slo in service.slos)


@click.command()
@takes_configs
@click.option("--out", metavar="DIR", required=True, help="Directory for the files; created if missing.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is missing or differs.")
@click.option("--force", is_flag=True, help="Replace files that were edited, or that slotel did not write.")
def command(configs: tuple[str, ...], out: str, check: bool, force: bool) -> None:
    """Write Prometheus rules with their tests, alerts, dashboards and a collector policy from the objectives.

    For several services, write one folder for each, and one collector policy for all.
    """
    readings = load_all_or_exit(configs)
    try:
        made = compile_several([reading.service for reading in readings])
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for reading in readings:
        for sentence in (*reading.notes, *warnings(reading.service)):
            inform(sentence, err=True)
    if check:
        _check(Path(out), {path: text for path, (_, text) in made.items()})
        return
    try:
        kept = write_generated(Path(out), made, force=force)
    except OSError as error:
        raise click.ClickException(f"{out}: nothing was changed: {error.strerror or error}") from error
    for path in made:
        if path not in kept:
            click.echo(str(Path(out) / path))
    for path, reason in kept.items():
        click.secho("error ", fg="red", bold=True, nl=False, err=True)
        click.echo(f"{Path(out) / path}: kept, {reason}; move it, or replace it with --force", err=True)
    if kept:
        raise SystemExit(1)


def _check(out: Path, files: Mapping[str, str]) -> None:
    stale = differing(out, files)
    for path in stale:
        click.secho("error ", fg="red", bold=True, nl=False, err=True)
        click.echo(f"{out / path}: is not what slotel generate writes now", err=True)
    if stale:
        raise SystemExit(1)
    click.secho("ok    ", fg="green", bold=True, nl=False)
    click.echo(f"{len(files)} files are up to date")
