"""Extends the patches of gevent and eventlet to libraries that were imported before them, as slotel itself is.

`opentelemetry-instrument` imports libraries and starts threads when the process starts. A gevent worker of gunicorn,
`celery -P gevent` or `monkey.patch_all()` in the first line of an app patch the standard library after that. Then

- `from ssl import SSLContext` in urllib3 still means the unpatched class, whose every setting recurses until
  RecursionError: no TLS connection of the app opens. kombu waits by the `select` of before, which stops every greenlet.
  Libraries get what they would import after the patching;
- a thread of slotel's would wait by one kind of primitive for what uses the other. It ends before the patching and
  starts again, as a greenlet, after it.

gevent's events are public, and come before it looks for unpatched names to warn of. eventlet has none.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import wrapt

from slotel.runtime.logs import LOG
from slotel.runtime.upstream.probe import Probe

_EVENTLET: Final = Probe(
    "eventlet", "monkey_patch",
    why="hands what eventlet patches on to libraries that were imported before",
    without="a process that eventlet patches may stop: import nothing of it, or start the service without slotel",
)  # fmt: skip
_PATCHED_BY_EVENTLET: Final = (
    "_thread", "builtins", "os", "queue", "select", "selectors", "socket", "ssl", "subprocess", "threading", "time",
)  # fmt: skip
_INSTALLED: Final = ("site-packages", "dist-packages")
"""In the path of a library. What the app's own modules imported before the patching is the app's choice."""
_KEPT: Final = ("native", "orig", "real", "unpatched")
"""In a name by which a library says that it wants what was there before, as celery's `_original_os_write` does."""
_OWN: Final = frozenset({"eventlet", "gevent", "greenlet", "slotel", "zope"})

Hook = Callable[[], None]


def extend_monkey_patches(pause: Hook, resume: Hook) -> None:
    """Give libraries that were imported before what replaces the standard library's names, whenever it is patched.

    Args:
        pause: ends threads before everything is patched.
        resume: starts them again.
    """
    wrapt.register_post_import_hook(lambda events: _subscribe(events, pause, resume), "gevent.events")
    wrapt.register_post_import_hook(lambda package: _around_eventlet(package, pause, resume), "eventlet")


def _subscribe(events: Any, pause: Hook, resume: Hook) -> None:
    before: dict[str, dict[str, Any]] = {}

    def patching(event: Any) -> None:
        try:
            if isinstance(event, events.GeventWillPatchModuleEvent):
                before[event.module_name] = dict(vars(event.target))
            elif isinstance(event, events.GeventDidPatchModuleEvent):
                _hand_on(_replaced(before.pop(event.module_name, {}), vars(event.target)))
            elif isinstance(event, events.GeventWillPatchAllEvent):
                pause()
            elif isinstance(event, events.GeventDidPatchAllEvent):
                resume()
        except Exception as error:  # noqa: BLE001 gevent would end its patching
            _tell("gevent", error)

    events.subscribers.append(patching)


def _around_eventlet(package: Any, pause: Hook, resume: Hook) -> None:
    def around(original: Any) -> Any:
        def monkey_patch(*args: Any, **kwargs: Any) -> Any:
            pause()
            before = {
                name: dict(vars(sys.modules[name])) for name in _PATCHED_BY_EVENTLET if name in sys.modules
            }
            try:
                return original(*args, **kwargs)
            finally:
                try:
                    replaced: dict[int, tuple[Any, Any]] = {}
                    for name, names in before.items():
                        replaced.update(_replaced(names, vars(sys.modules[name])))
                    _hand_on(replaced)
                    resume()
                except Exception as error:  # noqa: BLE001 nothing may reach the app
                    _tell("eventlet", error)

        return monkey_patch

    _EVENTLET.wrap(package, around)
    _EVENTLET.wrap(package.patcher, around)


def _tell(by: str, error: Exception) -> None:
    LOG.warning(
        "libraries that were imported before %s patched the standard library may stay unpatched: %r",
        by,
        error,
    )


def _replaced(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[int, tuple[Any, Any]]:
    """Return the functions and classes that were replaced, by identity: the old one and the new one."""
    pairs = ((old, after[name]) for name, old in before.items() if after.get(name, old) is not old)
    return {id(old): (old, new) for old, new in pairs if callable(old) and callable(new)}


def _hand_on(replaced: Mapping[int, tuple[Any, Any]]) -> None:
    """Replace the same objects in the namespaces of libraries: modules, and the copies of them that attrs makes."""
    if not replaced:
        return
    for found in gc.get_referrers(*(old for old, _ in replaced.values())):
        if isinstance(found, dict) and _is_library(found.get("__name__"), found.get("__file__")):
            for name, value in list(found.items()):
                # the old one is kept there, so that nothing else has its identity
                if id(value) in replaced and not any(kept in str(name).lower() for kept in _KEPT):
                    found[name] = replaced[id(value)][1]


def _is_library(name: object, path: object) -> bool:
    return (
        isinstance(name, str)
        and name.partition(".")[0] not in _OWN
        and any(folder in str(path) for folder in _INSTALLED)
    )
