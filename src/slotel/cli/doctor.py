"""`slotel doctor`: looks at what a start of the service would find, and says what to do about it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Final

import click

from slotel.cli.examine import examine
from slotel.cli.load import config_option
from slotel.config.load import read_configuration

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(config: str | None, as_json: bool) -> None:
    """Examine configuration, packages, launcher, exporters, Sentry and the metrics port.

    Exits with 1 if anything would not work.
    """
    findings = list(examine(read_configuration(os.environ, config), os.environ))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            click.secho(f"{finding.status:>4} ", fg=_COLOURS[finding.status], bold=True, nl=False)
            click.echo(f"{finding.subject}: {finding.text}")
            if finding.fix:
                click.echo(f"     → {finding.fix}")
    if any(finding.status == "fail" for finding in findings):
        raise SystemExit(1)
