"""The set of OpenTelemetry packages that this release was tested with: `slotel/constraints.txt`, as a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slotel.packaged import packaged_text

ALWAYS: Final = "always"
PREFIX: Final = "opentelemetry-instrumentation-"
LEFT_OUT: Final = {
    "asyncio": "it records every asyncio task, and does nothing unless it is configured",
    "asyncclick": "it turns the run of a whole server that click starts into one span",
    "click": "it turns the run of a whole server that click starts into one span",
    "exceptions": "slotel reports uncaught exceptions to Sentry",
    "system-metrics": "slotel's own /metrics has the process's CPU, memory and file descriptors",
}
"""Packages that `opentelemetry-bootstrap` installs and slotel does not, with the reason; `--all` installs them, too."""
NOT_A_REASON: Final = {("tortoiseorm", "pydantic")}
"""Libraries that half of all services have, and that need no such instrumentation."""


@dataclass(frozen=True, slots=True)
class Tested:
    """One package of the tested set.

    Args:
        libraries: the requirements that it instruments, such as `flask >= 1.0`; `always` for the standard library's.
    """

    package: str
    version: str
    libraries: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The instrumentation's name: `flask`."""
        return self.package.removeprefix(PREFIX)

    @property
    def pinned(self) -> str:
        """The requirement as pip reads it."""
        return f"{self.package}=={self.version}"


def constraints_path() -> Path:
    """Return where the constraints file of the installed slotel is."""
    return Path(__file__).parents[2] / "constraints.txt"


def tested_set() -> tuple[Tested, ...]:
    """Return the packages that this release was tested with."""
    found = []
    for line in packaged_text("slotel", "constraints.txt").splitlines():
        pinned, _, libraries = line.partition("#")
        name, _, version = pinned.strip().partition("==")
        if name and version:
            found.append(
                Tested(name, version, tuple(each.strip() for each in libraries.split("|") if each.strip()))
            )
    return tuple(found)


def bare_name(requirement: str) -> str:
    """Return the normalised distribution name of a requirement.

    >>> bare_name("aio_pika >= 7.2.0, < 11.0.0")
    'aio-pika'
    """
    return normalised(re.split(r"[<>=!~\[;\s]", requirement.strip(), maxsplit=1)[0])


def normalised(name: str) -> str:
    """Return a distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_reason(instrumentation: Tested, library: str) -> bool:
    """Return whether an installed library is a reason to install the instrumentation."""
    return (instrumentation.short, bare_name(library)) not in NOT_A_REASON
