"""The installed packages with their versions, as sentry-sdk lists them in an event's `modules`.

sentry-sdk parses the whole metadata of each package three times: 180 ms for 130 packages, at the first error of a
process. Two lines of each are enough.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from functools import cache
from importlib.metadata import Distribution, distributions
from typing import Any, Final

MODULES: Final = "modules"
"""Key of an event with the packages: empty until they are filled in, absent if the app does not want them."""
_HEADER: Final = re.compile(r"^(name|version):[ \t]*(.*?)\s*$", re.IGNORECASE | re.MULTILINE)
_END: Final = re.compile(r"\r?\n\r?\n")
"""An empty line: the description follows."""


NO_DESCRIPTOR: Final = frozenset((errno.EMFILE, errno.ENFILE))
"""errno of too many open files, in the process or the system: a retry may succeed."""


@cache
def _installed() -> dict[str, str]:
    return versions_of(distributions())


def add_modules(event: MutableMapping[str, Any]) -> None:
    """Fill the empty list in; remove it if the packages cannot be read. They are read once."""
    if event.get(MODULES) == {}:
        with suppress(OSError):
            event[MODULES] = _installed().copy()
        leave_empty_out(event)


def leave_empty_out(event: MutableMapping[str, Any]) -> None:
    """Remove an empty list that will not be filled in."""
    if event.get(MODULES) == {}:
        del event[MODULES]


def versions_of(found: Iterable[Distribution]) -> dict[str, str]:
    """Return the names in lower case with the versions; the first of a name wins, as it does in an import.

    Raises:
        OSError: there is no descriptor left.
    """
    modules: dict[str, str] = {}
    for distribution in found:
        try:
            text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        except (OSError, ValueError) as error:  # unreadable, or no text
            if getattr(error, "errno", None) in NO_DESCRIPTOR:
                raise
            continue
        head = _END.split(text, maxsplit=1)[0]
        said = {header.lower(): value for header, value in reversed(_HEADER.findall(head))}
        if said.get("name") and "version" in said:
            modules.setdefault(said["name"].lower(), said["version"])
    return modules
