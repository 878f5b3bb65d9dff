"""Keeps SIGBUS from ending a process whose mapped file is truncated by others, or whose disk fails.

The lost page is replaced by private memory, filled with what can still be read of the file. Any other SIGBUS, also one
that another process sends, has the effect that it has without slotel, also if the app enables `faulthandler`.
Works on Linux on x86-64 and AArch64, where the layout of the kernel's structures is known; elsewhere such a signal ends
the process.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from slotel.runtime.upstream.stdlib import around_faulthandler

_KNOWN: Final = ("x86_64", "aarch64")
_SA_SIGINFO: Final = 4
_MAP_FIXED: Final = 0x10
_CODE: Final = 2
"""Index of the code among the numbers that begin a signal's description; positive if an instruction is the cause."""
_FAILED: Final = 2**64 - 1

Read = Callable[[int, int], bytes]
"""Returns at most so many bytes of the file from a byte on; may raise OSError."""


class _Mapped(NamedTuple):
    start: int
    size: int
    read: Read


_MAPPED: Final[list[_Mapped]] = []
_LOST: Final[list[int]] = []
"""The first addresses of those that have lost a page."""
_KEPT: Final[list[Any]] = []
"""Objects that C code calls or points to."""


def protect(mapped: mmap.mmap, read: Read) -> int:
    """Keep this process alive if a page of a mapped file is gone; return the argument for `has_lost_pages`.

    The map must live as long as the process.
    """
    if sys.platform != "linux" or os.uname().machine not in _KNOWN:
        return 0
    try:
        import ctypes

        start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        if not _MAPPED:
            _install()
    except (
        ImportError,
        OSError,
        AttributeError,
        MemoryError,
    ):  # a Python without it, a system that forbids it
        return 0
    _MAPPED.append(_Mapped(start, len(mapped), read))
    return start


def has_lost_pages(start: int) -> bool:
    """Return whether a page of a mapped file was gone when it was touched."""
    return start in _LOST


def _install() -> None:
    """Let the C library call `_replace` at a SIGBUS, without releasing the GIL in between."""
    import ctypes

    class Info(ctypes.Structure):
        _fields_ = (("number", ctypes.c_int * 4), ("address", ctypes.c_void_p))

    class Action(ctypes.Structure):
        _fields_ = (
            ("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int),
            ("restorer", ctypes.c_void_p),
        )  # fmt: skip

    library = ctypes.PyDLL(None)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    )  # fmt: skip
    before, own = Action(), Action()
    bus = int(signal.SIGBUS)

    def handle(number: int, info: Any, _context: Any) -> None:
        is_fault = info.contents.number[_CODE] > 0
        if not is_fault or not _replace(info.contents.address or 0, library, ctypes.memmove):
            library.sigaction(number, ctypes.byref(before), None)  # a fault comes again at once
            if not is_fault:
                getattr(library, "raise")(number)

    def take() -> None:
        if library.sigaction(bus, ctypes.byref(own), ctypes.byref(before)):
            raise OSError("no handler for SIGBUS")

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.POINTER(Info), ctypes.c_void_p)(handle)
    own.handler, own.flags = ctypes.cast(handler, ctypes.c_void_p), _SA_SIGINFO
    _KEPT.extend((handler, before, library))
    take()
    around_faulthandler(lambda: library.sigaction(bus, ctypes.byref(before), None), take)


def _replace(address: int, library: Any, move: Callable[[int, bytes, int], object]) -> bool:
    """Put memory of this process's own where a page is gone; return whether it was one of a protected file."""
    for start, size, read in _MAPPED:
        if start <= address < start + size:
            page = address - address % mmap.PAGESIZE
            try:
                data = read(mmap.PAGESIZE, page - start)
            except OSError:
                data = b""
            access, kind = (
                mmap.PROT_READ | mmap.PROT_WRITE,
                mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED,
            )
            if library.mmap(page, mmap.PAGESIZE, access, kind, -1, 0) in (None, _FAILED):
                return False
            move(page, data, len(data))
            _LOST.append(start)
            return True
    return False
