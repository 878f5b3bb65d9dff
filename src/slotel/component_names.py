"""Compares the names in OTEL_PROPAGATORS and the variables of `COMPONENTS` with the installed components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import NamedTuple

from slotel.config.problem import variable
from slotel.launch import COMPONENTS, OWN


class Propagators(NamedTuple):
    """The names in the variable.

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
        names = ", ".join(repr(name[:80]) for name in self.wrong[:8])
        return f"there is no propagator {names}" if self.wrong else ""

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


class Wrong(NamedTuple):
    """A variable that names what nothing installed is called."""

    variable: str
    named: str
    known: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Return what is wrong."""
        return f"{variable(self.variable, self.named)}: nothing installed is called that"

    @property
    def fix(self) -> str:
        """Return what helps."""
        return f"it is left out; remove it, or install its package; known here are: {', '.join(self.known)}"


def wrong_components(environ: Mapping[str, str]) -> Iterator[Wrong]:
    """Yield the variables of `COMPONENTS` that name nothing installed."""
    for name in COMPONENTS.keys() & environ.keys():
        named = environ[name]
        if named in ("", OWN.get(name)):
            continue  # to read all entry points takes 10 ms
        known = {point.name for point in entry_points(group=COMPONENTS[name])}
        if named not in known:
            yield Wrong(name, named, tuple(sorted(known)))
