"""Loads the configurations for the commands, and prints their problems."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from slotel.compile.yaml_file import WRITTEN_BY
from slotel.config.foreign.formats import MARKS, Source, read_files
from slotel.config.load import read_configuration, read_text, reason
from slotel.config.problem import Problem, one_line
from slotel.config.service import Reading, Service
from slotel.runtime.redaction.redactor import Redactor

SERVICE_NAME: Final = "OTEL_SERVICE_NAME"
_ENDINGS: Final = (".yaml", ".yml")
_OWN: Final = ("slotel.yaml", "slotel.yml")
_NOTHING_HERE: Final = "there is no slotel.yaml in it, and no file of Sloth, OpenSLO v1 or Pyrra"


def takes_configs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add files and directories as arguments, and by `--config`; the command gets all of them as `configs`."""

    @click.argument("files", nargs=-1, metavar="[FILE|DIR]...")
    @click.option(
        "--config",
        "configs",
        metavar="FILE|DIR",
        multiple=True,
        help="slotel.yaml, or a file of Sloth, OpenSLO v1 or Pyrra, or a directory of them; may be repeated. "
        "`--config` itself can be omitted. Default: SLOTEL_CONFIG, else ./slotel.yaml, else the environment alone.",
    )
    @functools.wraps(command)
    def with_configs(files: tuple[str, ...], configs: tuple[str, ...], **options: Any) -> Any:
        return command(configs=(*files, *configs), **options)

    return with_configs


def load_all(configs: Sequence[str]) -> tuple[Reading, ...]:
    """Return every service that the files and directories describe; OTEL_SERVICE_NAME renames a single one."""
    if not configs or (len(configs) == 1 and not Path(configs[0]).is_dir()):
        config = configs[0] if configs else None
        found: list[Reading] = []

        def read(environ: Any, text: str, source: str) -> Reading:
            found.extend(read_files(environ, [Source(source, text)]))
            return found[0]

        first = read_configuration(os.environ, config, read)
        name = os.environ.get(SERVICE_NAME, "").strip() or first.service.name
        return (replace(first, service=replace(first.service, name=name)), *found[1:])
    sources, problems = _sources(configs)
    readings = read_files(os.environ, sources) if sources else ()
    if not sources and not problems:
        problems.append(Problem(", ".join(configs), _NOTHING_HERE, "none"))
    failed = (Reading(Service(), tuple(problems)),) if problems else ()
    return (*failed, *readings)


def load_all_or_exit(configs: Sequence[str]) -> tuple[Reading, ...]:
    """Return the services; if one has a problem or no name, print each problem on a line and exit with 1."""
    readings = load_all(configs)
    problems = [each for reading in readings for each in (*reading.problems, *unnamed(reading))]
    if problems:
        complain(problems)
        raise SystemExit(1)
    return readings


def unnamed(reading: Reading) -> tuple[Problem, ...]:
    """Return the problem of a service without a name, unless another problem may be the reason."""
    if reading.service.name or reading.problems:
        return ()
    return (
        Problem("service", f"give it a name: 'service: checkout' in slotel.yaml, or {SERVICE_NAME}", "none"),
    )


@functools.cache
def _redactor() -> Redactor:
    return Redactor()


def without_secrets(text: str) -> str:
    """Return a text for people as one line without the secrets in it: it may be shown in public."""
    return one_line(_redactor().text(text))


def complain(problems: Sequence[Problem]) -> None:
    """Write each problem as one line to stderr."""
    for problem in problems:
        click.secho("error ", fg="red", bold=True, nl=False, err=True)
        click.secho(without_secrets(problem.place), bold=True, nl=False, err=True)
        click.echo(f": {without_secrets(problem.expectation)}", err=True)


def inform(sentence: str, *, err: bool = False) -> None:
    """Write a message as one line."""
    click.secho("info  ", fg="yellow", bold=True, nl=False, err=err)
    click.echo(without_secrets(sentence), err=err)


def _sources(configs: Sequence[str]) -> tuple[list[Source], list[Problem]]:
    """Read the files, each once; of a directory those that hold objectives, and that slotel did not write."""
    sources, problems, seen = [], [], set()
    for config in configs:
        is_directory = Path(config).is_dir()
        for path in _files(Path(config)) if is_directory else [Path(config)]:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                text = read_text(str(path))
            except (OSError, ValueError) as error:
                problems.append(Problem(str(path), reason(error), "left out"))
                continue
            holds = path.name in _OWN or any(mark in text for mark in MARKS)
            if not is_directory or (holds and WRITTEN_BY not in text.partition("\n")[0]):
                sources.append(Source(str(path), text))
    return sources, problems


def _files(directory: Path) -> list[Path]:
    found = sorted(each for each in directory.rglob("*") if each.suffix in _ENDINGS and each.is_file())
    return [
        each for each in found if not any(part.startswith(".") for part in each.relative_to(directory).parts)
    ]
