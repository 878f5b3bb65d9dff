"""Before `opentelemetry-instrument`: a wrong name in OTEL_PROPAGATORS is left out, where it would end that command.

`opentelemetry.propagate` reads the variable when it is imported, in that command's own process, where nothing of a
distribution runs yet. So `slotel_launch.pth` imports this module when Python starts, if the variable is set. It does
nothing in any other process than that command's, and imports no telemetry library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from importlib.metadata import entry_points
from typing import Final, NamedTuple

VARIABLE: Final = "OTEL_PROPAGATORS"
_LAUNCHER: Final = "opentelemetry-instrument"


class Propagators(NamedTuple):
    """What the variable names.

    Args:
        usable: names of installed propagators, or `none`, in the order of the variable.
        wrong: names that nothing installed has.
        known: names of all that are installed.
    """

    usable: tuple[str, ...]
    wrong: tuple[str, ...]
    known: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Return what is wrong with a name; empty when nothing is."""
        return f"there is no propagator {', '.join(map(repr, self.wrong))}" if self.wrong else ""

    @property
    def fix(self) -> str:
        """Return what helps."""
        return f"remove it, or install its package; known here are: {', '.join(self.known)}"


def read_propagators(named: str) -> Propagators:
    """Return what a value of OTEL_PROPAGATORS names; empty entries name nothing."""
    known = {point.name for point in entry_points(group="opentelemetry_propagator")}
    names = [name.strip() for name in named.split(",") if name.strip()]
    usable = tuple(name for name in names if name in known or name.lower() == "none")
    wrong = tuple(name for name in names if name not in usable)
    return Propagators(usable, wrong, tuple(sorted(known)))


def correct(environ: MutableMapping[str, str], command: Sequence[str]) -> None:
    """Leave wrong and empty names out of OTEL_PROPAGATORS, in the process of that command alone; tell of wrong ones.

    Args:
        command: as Python was started, with its options.
    """
    if not any(each.endswith(_LAUNCHER) for each in command[:4]):
        return
    named = environ.get(VARIABLE, "")
    found = read_propagators(named)
    if found.wrong:
        text = f"ERROR slotel: {VARIABLE}={named!r}: {found.problem}: {found.fix} [SLO123]\n"
        sys.stderr.write(text)
    if found.usable:
        environ[VARIABLE] = ",".join(found.usable)
    else:
        environ.pop(VARIABLE, None)


def begin() -> None:
    """Correct the environment of this process."""
    correct(os.environ, sys.orig_argv)
