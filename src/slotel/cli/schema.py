"""`slotel schema`: prints the JSON schema of slotel.yaml."""

from __future__ import annotations

import json

import click

from slotel.config.file.json_schema import json_schema


@click.command()
def command() -> None:
    """Print the JSON schema of slotel.yaml, for editors and pipelines.

    With the YAML extension of an editor: write the output to slotel.schema.json, and begin slotel.yaml with
    `# yaml-language-server: $schema=slotel.schema.json`.
    """
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
