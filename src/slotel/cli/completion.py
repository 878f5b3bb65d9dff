"""`slotel completion`: prints the script that lets a shell complete slotel's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell: `eval "$(slotel completion bash)"`."""
    from slotel.cli.commands import app

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(kind(app, {}, "slotel", "_SLOTEL_COMPLETE").source())
