"""The table of commands. Each lives in a file of its own, imported only when it is run or its help is shown."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click
from typing_extensions import override

from slotel.version import __version__

COMMANDS: Final = {
    "demo": ("slotel.cli.demo.command", "Run a sample service with load, errors and a local Sentry."),
    "doctor": ("slotel.cli.doctor", "Look at what a start would find; say what to do."),
    "validate": ("slotel.cli.validate", "Check slotel.yaml and the environment; name what is wrong."),
    "explain": ("slotel.cli.explain", "Say each objective in words and numbers."),
    "generate": ("slotel.cli.generate", "Write rules with their tests, dashboards and collector policy."),
}
"""Command → (module that defines `command`, a click.Command; what it does in a line)."""


class _Commands(click.Group):
    """The commands of the table, without importing those that are not asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]}.command is no click.Command")
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slotel", message="%(prog)s %(version)s")
def app() -> None:
    """One launcher for OpenTelemetry, Sentry, Prometheus and error budgets. `slotel COMMAND -h` says more."""
