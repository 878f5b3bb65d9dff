"""The table of commands. A command's module is imported only when the command is run or its help is shown."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click
from click.shell_completion import CompletionItem
from typing_extensions import override

from slotel.cli import LEAN
from slotel.version import __version__

COMMANDS: Final = {
    "bootstrap": (LEAN["bootstrap"], "Install the instrumentations for the app's libraries."),
    "demo": ("slotel.cli.demo.command", "Run a sample service with load, errors and a local Sentry."),
    "doctor": (LEAN["doctor"], "Check the environment before you start the service."),
    "sink": (LEAN["sink"], "Run a local Sentry that shows what an app sends."),
    "validate": ("slotel.cli.validate", "Check slotel.yaml and the environment."),
    "explain": ("slotel.cli.explain", "Print each SLO in plain words and numbers."),
    "generate": (
        "slotel.cli.generate",
        "Write Prometheus rules with their tests, dashboards, collector policy.",
    ),
    "backtest": ("slotel.cli.backtest", "Print which alerts would have fired in the last weeks."),
    "suggest": ("slotel.cli.suggest", "Draft slotel.yaml from the last weeks of a service."),
    "schema": ("slotel.cli.schema", "Print the JSON schema of slotel.yaml."),
    "completion": ("slotel.cli.completion", "Print the completion script for bash, zsh or fish."),
}
"""Command → (module that defines `command`, a click.Command, or is lean; what it does in a line)."""


class _Lean(click.Command):
    """A command that parses its own arguments with argparse, because it also runs where click is not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(name, add_help_option=False)
        self.module = import_module(LEAN[name])

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args

    @override
    def invoke(self, ctx: click.Context) -> None:
        raise SystemExit(self.module.main(ctx.args))

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from slotel.runtime.upstream.stdlib import options_of

        options = options_of(self.module.parser())
        return [CompletionItem(each) for each in options if each.startswith(incomplete)]


class _Commands(click.Group):
    """The commands of the table, without importing those that are not asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in LEAN:
            return _Lean(cmd_name)
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="slotel", message="%(prog)s %(version)s")
def app() -> None:
    """slotel: OpenTelemetry for Python with Sentry, Prometheus and error budgets. See `slotel COMMAND -h`."""
