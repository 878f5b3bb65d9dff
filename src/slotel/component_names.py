"""Compares the names in OTEL_PROPAGATORS and the variables of `COMPONENTS` with the installed components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import NamedTuple

from slotel.config.problem import variable
from slotel.launch import COMPONENTS, OWN, VARIABLE


class Wrong(NamedTuple):
    """A variable that names what nothing installed is called: what is wrong with it, and what helps."""

    variable: str
    problem: str
    fix: str


def _installed(group: str) -> list[str]:
    return sorted({point.name for point in entry_points(group=group)})


def read_propagators(named: str) -> tuple[tuple[str, ...], Wrong | None]:
    """Return the usable ones of the names in a value of OTEL_PROPAGATORS, and what is wrong with the others.

    Usable are names of installed propagators and `none`, in the order of the value. Empty entries name nothing.
    """
    known = _installed("opentelemetry_propagator")
    names = [name.strip() for name in named.split(",") if name.strip()]
    usable = tuple(name for name in names if name in known or name.lower() == "none")
    wrong = ", ".join(repr(name[:80]) for name in [name for name in names if name not in usable][:8])
    if not wrong:
        return usable, None
    fix = f"remove it, or install its package; known here are: {', '.join(known)}"
    return usable, Wrong(VARIABLE, f"there is no propagator {wrong}", fix)


def wrong_components(environ: Mapping[str, str]) -> Iterator[Wrong]:
    """Yield the variables of `COMPONENTS` that name nothing installed."""
    for name in COMPONENTS.keys() & environ.keys():
        named = environ[name]
        if named in ("", OWN.get(name)):
            continue  # to read all entry points takes 10 ms
        known = _installed(COMPONENTS[name])
        if named not in known:
            problem = f"{variable(name, named)}: nothing installed is called that"
            fix = f"it is left out; remove it, or install its package; known here are: {', '.join(known)}"
            yield Wrong(name, problem, fix)
