"""Before `opentelemetry-instrument`: a wrong name in OTEL_PROPAGATORS, or a variable of `COMPONENTS`, is left out.

Such a name would end that command or the app, or leave the app without telemetry. OpenTelemetry reads some of them
where nothing of a distribution runs yet. So `slotel_launch.pth` imports this module when Python starts, in that
command's own process alone. It imports no telemetry library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from importlib.metadata import entry_points
from typing import Final, NamedTuple

VARIABLE: Final = "OTEL_PROPAGATORS"
COMPONENTS: Final = {
    "OTEL_PYTHON_CONFIGURATOR": "opentelemetry_configurator",
    "OTEL_PYTHON_CONTEXT": "opentelemetry_context",
    "OTEL_PYTHON_DISTRO": "opentelemetry_distro",
    "OTEL_PYTHON_ID_GENERATOR": "opentelemetry_id_generator",
    "OTEL_PYTHON_LOGGER_PROVIDER": "opentelemetry_logger_provider",
    "OTEL_PYTHON_METER_PROVIDER": "opentelemetry_meter_provider",
    "OTEL_PYTHON_TRACER_PROVIDER": "opentelemetry_tracer_provider",
}
"""Variable → the group of entry points of which it names one."""
_LAUNCHER: Final = "opentelemetry-instrument"
_OWN: Final = {"OTEL_PYTHON_CONFIGURATOR": "slotel", "OTEL_PYTHON_DISTRO": "slotel"}


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


class Wrong(NamedTuple):
    """A variable that names what nothing installed is called."""

    variable: str
    named: str
    known: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Return what is wrong."""
        return f"{self.variable}={self.named!r}: nothing installed is called that"

    @property
    def fix(self) -> str:
        """Return what helps."""
        return f"it is left out; remove it, or install its package; known here are: {', '.join(self.known)}"


def wrong_components(environ: Mapping[str, str]) -> Iterator[Wrong]:
    """Yield the variables of `COMPONENTS` that name nothing installed."""
    for variable in COMPONENTS.keys() & environ.keys():
        named = environ[variable]
        if named in ("", _OWN.get(variable)):
            continue  # to read all entry points takes 10 ms
        known = {point.name for point in entry_points(group=COMPONENTS[variable])}
        if named not in known:
            yield Wrong(variable, named, tuple(sorted(known)))


def correct(environ: MutableMapping[str, str], command: Sequence[str]) -> None:
    """Leave wrong and empty names out, in the process of that command alone; tell of wrong ones.

    Args:
        command: as Python was started, with its options.
    """
    if not any(each.endswith(_LAUNCHER) for each in command[:4]):
        return
    for wrong in tuple(wrong_components(environ)):
        del environ[wrong.variable]
        sys.stderr.write(f"ERROR slotel: {wrong.problem}: {wrong.fix} [SLO119]\n")
    named = environ.get(VARIABLE, "")
    if not named:
        return
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
