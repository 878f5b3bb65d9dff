"""The command line: `main` is the entry point. click and rich are imported when a command needs them, not before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

LEAN: Final = {
    "bootstrap": "slotel.cli.bootstrap",
    "doctor": "slotel.cli.doctor",
    "sink": "slotel.cli.sink.server",
}
"""Command → module with `main(arguments) -> int`: what runs inside a service's environment needs no other package."""
_TOOLS: Final = frozenset({"click", "rich", "promql_parser", "grafana_foundation_sdk"})
"""Packages of the extra `slotel[tools]`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `slotel …` and exit: 0 well, 1 the input is wrong, 2 the call is.

    Args:
        arguments: default `sys.argv[1:]`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in LEAN:
        raise SystemExit(import_module(LEAN[given[0]]).main(given[1:]))
    if given in (["-V"], ["--version"]):
        from slotel.version import __version__

        sys.stdout.write(f"slotel {__version__}\n")
        raise SystemExit(0)
    try:
        from slotel.cli.main import app

        app(args=given, prog_name="slotel")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _TOOLS:
            raise
        sys.stderr.write(
            f"slotel {' '.join(given[:1])}: this command needs the tools, which belong outside of the app's "
            "environment: run it with `uvx --from 'slotel[tools]' slotel …`, or `pipx install 'slotel[tools]'`\n"
            f"(here work: {', '.join(LEAN)})\n"
        )
        raise SystemExit(2) from error
