"""Private names of Python's standard library."""

from __future__ import annotations

import functools
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from slotel.runtime.upstream.probe import SLOWER, Probe

_REINIT: Final = Probe(
    "threading:RLock", "_at_fork_reinit",
    why="the child of a fork gets the lock of a thread that it does not have",
    without="the lock is released; a server that forks in C code, past Python's hooks, may find it held",
)  # fmt: skip
_FINALIZE: Final = Probe(
    "multiprocessing.util", "Finalize",
    why="a forked child ends by os._exit, past Python's exit hooks: what is pending is sent before",
    without="what such a child counted and buffered in its last second is lost",
)  # fmt: skip
_AFTER_FORK: Final = Probe(
    "multiprocessing.util", "register_after_fork",
    why="a child forgets its finalizers when it starts; ours is registered after that",
    without="what such a child counted and buffered in its last second is lost",
)  # fmt: skip
_OPTIONS: Final = Probe(
    "argparse:ArgumentParser", "_option_string_actions",
    why="the shell completes the options of `slotel doctor`",
    without="the shell completes no options",
)  # fmt: skip
_SOCKET: Final = Probe(
    "_socket", "socket",
    why="looks at a socket of the app; gevent's class, in its place, would make that one non-blocking",
    without="nothing tells of a server whose requests are not counted",
)  # fmt: skip
_INTERPRETERS: Final = tuple(
    Probe(
        module, "get_current",
        why="a subinterpreter cannot end while slotel's threads run in it: slotel does not start there",
        without="a process that uses subinterpreters may not end",
        level=None,
    )
    for module in ("_interpreters", "_xxsubinterpreters")  # the second before Python 3.13
)  # fmt: skip
_ENABLE, _DISABLE = (
    Probe(
        "faulthandler", name,
        why="its handler of SIGBUS comes after slotel's: a file that is truncated ends no process",
        without="where it is enabled after the start, such a file ends the process",
    )
    for name in ("enable", "disable")
)  # fmt: skip
_DATA: Final = Probe(
    "os:environ", "_data",
    why="tells of a variable that is not set; `os.environ` raises and catches two exceptions to do so",
    without="each HTTP request costs 7 us more",
    level=SLOWER,
)  # fmt: skip


def renew_lock(lock: Any) -> None:
    """Free a lock that was taken before a fork, in the child."""
    reinit = _REINIT.of(lock)
    (reinit or lock.release)()


def finalize_children(finalizers: Any, hook: Any, call: Callable[[], None]) -> None:
    """Call a function at the end of each child that `multiprocessing`, or Celery's `billiard`, forks from now on.

    Args:
        finalizers: the module `util` of either.
        hook: the registration lives with it.
    """
    after_fork, finalize = _AFTER_FORK.of(finalizers), _FINALIZE.of(finalizers)
    if after_fork is not None and finalize is not None:
        after_fork(hook, lambda _: finalize(None, call, exitpriority=10))


_EFFECTIVE_USER: Final = {"setuid": 0, "setreuid": 1, "setresuid": 1}
"""Functions of `os` → position of the argument with the user whose rights the process has afterwards."""


def before_setuid(call: Callable[[int], None]) -> None:
    """Call a function with the user before root's process becomes that one, for good; it must not raise."""

    def wrap(name: str, place: int) -> None:
        original = getattr(os, name)

        @functools.wraps(original)
        def wrapper(*users: Any) -> None:
            if (
                os.geteuid() == 0
                and len(users) > place
                and isinstance(users[place], int)
                and users[place] > 0
            ):
                call(users[place])
            original(*users)

        setattr(os, name, wrapper)

    for name, place in _EFFECTIVE_USER.items() if hasattr(os, "geteuid") and os.geteuid() == 0 else ():
        if hasattr(os, name):
            wrap(name, place)


def around_faulthandler(before: Callable[[], object], after: Callable[[], object]) -> None:
    """Call functions before and after the app enables or disables `faulthandler`, which sets handlers of signals."""
    import faulthandler

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            before()
            try:
                return original(*args, **named)
            finally:
                after()

        return wrapped

    for probe in (_ENABLE, _DISABLE):
        probe.wrap(faulthandler, wrap)


def in_subinterpreter() -> bool:
    """Return whether this is another interpreter than the first of its process."""
    ask = next(filter(None, (each.load() for each in _INTERPRETERS)), None)
    found = ask() if ask is not None else 0
    return int(found[0] if isinstance(found, tuple) else found) != 0


def in_event_loop() -> bool:
    """Return whether this thread runs an event loop."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio is not None and asyncio.get_running_loop() is not None
    except (RuntimeError, AttributeError):  # the second while another thread imports it
        return False


class _QuickEnvironment(Mapping[str, str]):
    """`os.environ`, but quick to say that a variable is not set."""

    def __init__(self, raw: dict[Any, Any]) -> None:
        self._raw = raw
        self._keys: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os.environ, name)

    def __getitem__(self, name: str) -> str:
        return os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a variable's value."""
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = os.environ.encodekey(name)
        return os.environ.get(name, default) if key in self._raw else default


def quick_environment() -> Mapping[str, str]:
    """Return the process's environment, cheap to ask for what is not set."""
    raw = _DATA.of(os.environ)
    return _QuickEnvironment(raw) if isinstance(raw, dict) else os.environ


def options_of(parser: Any) -> list[str]:
    """Return the spellings of a parser's options."""
    return list(_OPTIONS.of(parser) or ())


def bare_socket(descriptor: int) -> Any:
    """Return a socket for a descriptor, which it closes; None where that cannot be done.

    `SOCK_NONBLOCK` sets no mode here: it keeps the app's default time-out from making the descriptor non-blocking.
    """
    make = _SOCKET.load()
    return make and make(-1, socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0), -1, fileno=descriptor)


def modules_in_main_thread() -> Iterator[str]:
    """Yield the names of the modules whose functions the main thread has called, the innermost first."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 it has no other name
    while frame is not None:
        yield str(frame.f_globals.get("__name__"))
        frame = frame.f_back
