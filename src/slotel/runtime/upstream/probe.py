"""One mechanism for what slotel uses of other projects and they do not promise: private names, patches, layouts.

Each name stands once, as a `Probe`: where it is, why it is used, what happens without it. A probe whose name is gone
returns None and logs one line; its caller then uses the fallback that the probe describes.
`docs/reference/upstream-names.md` lists them; `tests/runtime/upstream/test_taken_away.py` takes each away in turn.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import wrapt

from slotel.runtime.logs import LOG

PROBES: Final[list[Probe]] = []
"""Every probe of the modules that are imported."""

SLOWER: Final = logging.INFO
"""Without the name something costs more; nothing else changes."""
LESS: Final = logging.WARNING
"""Without the name something is off."""

_ORIGINAL: Final = "_slotel_original"
_GONE: Final = object()
_CODE: Final = "SLO173"


class Probe:
    """A name of another project.

    Args:
        where: the project's module, and the class in it: `opentelemetry.sdk.trace:TracerProvider`.
        name: of the attribute.
        why: what slotel does with it.
        without: what happens where it is gone: a clause that ends the log line.
        level: `SLOWER` or `LESS`; None where an older or newer supported release rightly lacks the name.
    """

    __slots__ = ("is_gone", "is_told", "level", "name", "where", "why", "without")

    def __init__(self, where: str, name: str, *, why: str, without: str, level: int | None = LESS) -> None:
        self.where, self.name = where, name
        self.why, self.without, self.level = why, without, level
        self.is_gone = self.is_told = False
        PROBES.append(self)

    def __str__(self) -> str:
        """Return the full name."""
        return f"{self.where.replace(':', '.')}.{self.name}"

    def of(self, owner: Any) -> Any:
        """Return the attribute of an object; None where it is gone, which is logged once."""
        found = getattr(owner, self.name, _GONE)
        if found is _GONE:
            self.tell()
            return None
        return found

    def load(self) -> Any:
        """Import the module and return its attribute; None where one of the two is gone."""
        try:
            module = import_module(self.where)
        except ImportError:
            self.tell()
            return None
        return self.of(module)

    def put(self, owner: Any, value: Any) -> bool:
        """Set the attribute of an object that has it; return whether it has."""
        if getattr(owner, self.name, _GONE) is _GONE:
            self.tell()
            return False
        setattr(owner, self.name, value)
        return True

    def wrap(self, owner: Any, wrap: Callable[[Any], Any]) -> bool:
        """Put a function before a function, a method or the getter of a property; return whether it is there.

        A second call takes the place of the first.

        Args:
            wrap: gives the new function for the original one.
        """
        found = self.of(owner)
        if found is None:
            return False
        original: Any = found.fget if isinstance(found, property) else found
        original = unwrapped(original)
        wrapped = functools.update_wrapper(wrap(original), original)
        if isinstance(owner, ModuleType):  # a pickle that has it looks for it there
            wrapped.__module__, wrapped.__qualname__ = owner.__name__, self.name
        setattr(wrapped, _ORIGINAL, original)
        setattr(owner, self.name, found.getter(wrapped) if isinstance(found, property) else wrapped)
        return True

    def owner(self) -> Any:
        """Return the module of `where`, or the class in it; None where it is not imported, or the class is gone."""
        name, _, kind = self.where.partition(":")
        module = sys.modules.get(name)
        if module is None or not kind:
            return module
        owner = getattr(module, kind, None)
        if owner is None:
            self.tell()
        return owner

    def wrap_imported(self, wrap: Callable[[Any], Any]) -> bool:
        """Do what `wrap` does to the owner, if it is imported; return whether it was done."""
        owner = self.owner()
        return owner is not None and self.wrap(owner, wrap)

    def wrap_on_import(self, wrap: Callable[[Any], Any]) -> None:
        """Do what `wrap` does to the owner as soon as its module is imported, or now."""
        wrapt.register_post_import_hook(
            lambda _module: self.wrap_imported(wrap), self.where.partition(":")[0]
        )

    def tell(self) -> None:
        """Say once that the name is gone; before slotel's log lines are shown, later."""
        self.is_gone = True
        if self.level is not None and not self.is_told and LOG.isEnabledFor(self.level):
            self.is_told = True
            LOG.log(self.level, "%s is gone in this release: %s [%s]", self, self.without, _CODE)


def unwrapped(function: Any) -> Any:
    """Return what a probe has put a function before; a function that none was put before is itself."""
    return getattr(function, _ORIGINAL, function)


def report_missing_names() -> None:
    """Say what was missed before slotel's log lines were shown: while its modules were imported."""
    for probe in PROBES:
        if probe.is_gone:
            probe.tell()
