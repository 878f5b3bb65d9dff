"""Imports sentry-sdk without what it would import wherever it is installed: gevent, eventlet, httpcore.

They cost a start 60 ms and 8 MB, and slotel's transport uses none of them. Nothing is lost:

- sentry-sdk asks gevent and eventlet whether they have patched the standard library. A module that is not imported has
  not. Functions of gevent that sentry-sdk uses are looked up when they are called.
- sentry-sdk's HTTP/2 and asyncio transports use httpcore, h2 and anyio. They are replaced by modules that import the
  real ones when an attribute is read.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from slotel.runtime.upstream.probe import Probe

_PATCHING: Final = ("eventlet", "gevent", "greenlet")
_LATER: Final = ("anyio", "h2", "httpcore")
_WITHOUT: Final = (
    "in a process that gevent patches, threads have Python's numbers and profiles need profiler_mode"
)
_PATCHED: Final = Probe(
    "sentry_sdk.utils", "is_module_patched",
    why="sentry-sdk is imported without gevent: whether that has patched is looked up at each call",
    without=_WITHOUT,
)  # fmt: skip
_HUB: Final = Probe("sentry_sdk.utils", "get_gevent_hub", why=_PATCHED.why, without=_WITHOUT)
_POOLS: Final = tuple(
    Probe(
        f"sentry_sdk.profiler.{module}", "ThreadPool",
        why="the same: gevent's threads of the profilers", without="profiles need gevent to be imported before",
        level=None,  # 3 has one profiler
    )
    for module in ("continuous_profiler", "transaction_profiler")
)  # fmt: skip
_AGE: Final = Probe(
    "sentry_sdk._init_implementation", "_check_version_deprecations",
    why="`init` imports gevent to look whether it is too old; of one that is not imported it need not know",
    without="gevent is imported wherever it is installed",
    level=None,  # since 3
)  # fmt: skip


def import_sentry() -> None:
    """Import sentry-sdk, if it is not imported, without the modules that it does not need."""
    if "sentry_sdk" in sys.modules:
        return
    with _leaving_out() as left_out:
        import sentry_sdk  # noqa: F401
    if "gevent" in left_out and importlib.util.find_spec("gevent") is not None:
        _look_gevent_up()


@contextmanager
def _leaving_out() -> Iterator[frozenset[str]]:
    absent = frozenset(name for name in _PATCHING if name not in sys.modules)
    finder = _Finder(absent)
    sys.meta_path.insert(0, finder)
    try:
        yield absent
    finally:
        sys.meta_path.remove(finder)
        for name in _LATER:
            if isinstance(sys.modules.get(name), _Later):
                del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds stand-ins, and nothing in place of what patches; for the imports of one thread alone."""

    def __init__(self, absent: frozenset[str]) -> None:
        self._absent = absent
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a stand-in; None where other finders are to look."""
        if threading.get_ident() != self._thread:
            return None
        if name.partition(".")[0] in self._absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name not in _LATER or name in _WANTED or PathFinder.find_spec(name) is None:
            return None
        return ModuleSpec(name, _Loader())


class _Loader(Loader):
    """Makes stand-ins."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a plain module: what imports it looks for some of its attributes."""
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Make it a stand-in."""
        module.__class__ = _Later


class _Later(ModuleType):
    """A module that imports the one of its name when an attribute is asked for."""

    def __getattr__(self, attribute: str) -> Any:
        name = self.__name__
        _WANTED.add(name)
        if sys.modules.get(name) is self:  # while sentry-sdk is imported
            sys.modules.pop(name, None)
        return getattr(importlib.import_module(name), attribute)


_WANTED: Final[set[str]] = set()
"""Modules of which an attribute was asked for."""


def _look_gevent_up() -> None:
    utils = sys.modules[_PATCHED.where]
    _PATCHED.put(utils, _is_module_patched)
    _HUB.put(utils, _gevent_hub)
    _AGE.wrap(
        sys.modules[_AGE.where], lambda original: lambda: original() if "gevent" in sys.modules else None
    )
    for pool in _POOLS:
        if (module := sys.modules.get(pool.where)) is not None:
            pool.put(module, _thread_pool)


def _is_module_patched(name: str) -> bool:
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched(name))


def _gevent_hub() -> Any:
    return importlib.import_module("gevent").get_hub()


def _thread_pool(*args: Any, **kwargs: Any) -> Any:
    return importlib.import_module("gevent.threadpool").ThreadPool(*args, **kwargs)
