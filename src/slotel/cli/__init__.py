"""The command line. click and rich are imported only if a command needs them."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final

_ESCAPED: Final = "slotel-escaped"
"""Name of the handler of errors of encoding."""
LEAN: Final = {
    "bootstrap": "slotel.cli.bootstrap",
    "doctor": "slotel.cli.doctor.command",
    "sink": "slotel.cli.sink.server",
}
"""Command → module with `main(arguments) -> int`: what runs inside a service's environment needs no other package."""
_TOOLS: Final = frozenset({"click", "rich", "promql_parser", "grafana_foundation_sdk"})
"""Packages of the extra `slotel[tools]`."""
_COMPILING: Final = frozenset({"validate", "explain", "generate", "backtest", "suggest"})
"""Commands that need all of them: an app's environment often has click, because Flask and uvicorn need it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `slotel …` and exit: with 0, with 1 if the input is invalid, with 2 if the command line is.

    Args:
        arguments: default `sys.argv[1:]`.
    """
    _escape_what_cannot_be_shown()
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
    except OSError as error:
        # of what is said: a disk is full; what a command itself reads or writes, it names
        raise SystemExit(f"slotel: {error.filename or 'output'}: {error.strerror or error}") from error


def _escape_what_cannot_be_shown() -> None:
    """Escape characters that the output's encoding lacks as JSON does, so that JSON output keeps its meaning."""
    codecs.register_error(_ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _run(given: list[str]) -> None:
    if given and given[0] in LEAN:
        raise SystemExit(import_module(LEAN[given[0]]).main(given[1:]))
    if given in (["-V"], ["--version"]):
        from slotel.version import __version__

        sys.stdout.write(f"slotel {__version__}\n")
        raise SystemExit(0)
    if given and given[0] in _COMPILING and not {"-h", "--help"} & {*given} and _tools_are_missing():
        raise SystemExit(_without_tools(given[0]))
    try:
        from slotel.cli.commands import app

        app(args=given, prog_name="slotel")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _TOOLS:
            raise
        raise SystemExit(_without_tools(*given[:1])) from error


def _tools_are_missing() -> bool:
    no_dashboards = {"grafana_foundation_sdk"} if sys.version_info < (3, 11) else frozenset()
    return any(find_spec(name) is None for name in _TOOLS - no_dashboards)


def _without_tools(command: str = "") -> int:
    sys.stderr.write(
        f"slotel {command}: this command needs the tools, which belong outside of the app's "
        "environment: run it with `uvx --from 'slotel[tools]' slotel …`, or `pipx install 'slotel[tools]'`\n"
        f"(here work: {', '.join(LEAN)})\n"
    )
    return 2
