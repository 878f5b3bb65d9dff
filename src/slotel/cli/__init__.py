"""The command line: `main` is the entry point. click and rich are imported when a command runs, not before."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `slotel …` and exit: 0 well, 1 the input is wrong, 2 the call is.

    Args:
        arguments: default `sys.argv[1:]`.
    """
    try:
        from slotel.cli.main import app
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.stderr.write("slotel's command line needs two more packages, run: pip install 'slotel[tools]'\n")
        raise SystemExit(2) from error
    app(args=None if arguments is None else list(arguments), prog_name="slotel")
