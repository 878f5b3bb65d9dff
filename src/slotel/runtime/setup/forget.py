"""Forgets modules that only a start uses: what reads slotel.yaml would hold 2 MB as long as the process lives."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YAML_READERS: Final = (
    "ruamel.yaml", "slotel.config.file.decode", "slotel.config.file.document", "slotel.config.file.schema",
)  # fmt: skip
"""Modules and packages that only a configuration file is read by."""
_OF_C: Final = "_ruamel_yaml"
"""Holds classes of ruamel.yaml, where ruamel.yaml.clib is installed, and cannot be imported anew."""


@contextmanager
def forgetting(names: tuple[str, ...]) -> Iterator[None]:
    """Forget modules that are imported inside the block; who imports them later gets new ones.

    None is forgotten where the process has one of them already, or has another thread, which may be importing one.

    Args:
        names: of modules; with each what is below it.
    """
    may_forget = threading.active_count() == 1 and not _below(names) and not gc.get_freeze_count()
    if not may_forget:
        yield
        return
    gc.freeze()  # what was there before is not looked through below
    try:
        yield
    finally:
        if _OF_C not in sys.modules and threading.active_count() == 1:
            for name in _below(names):
                package, _, own = name.rpartition(".")
                above = sys.modules.get(package)
                if above is not None:
                    vars(above).pop(own, None)
                del sys.modules[name]
            gc.collect()
        gc.unfreeze()


def _below(names: tuple[str, ...]) -> list[str]:
    """Return the imported ones of these modules, and those below them."""
    return [
        found
        for found in sys.modules
        if found in names or found.startswith(tuple(f"{name}." for name in names))
    ]
