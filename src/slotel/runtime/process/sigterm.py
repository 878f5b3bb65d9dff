"""Who gives SIGTERM its default in a process that slotel runs in, and the moment after that. Handles no signal itself.

Celery's children do, and have a signal of their own for the moment. gunicorn's UvicornWorker does: uvicorn notes that
default, puts it back at its end and raises the signal again (encode/uvicorn, `Server.capture_signals`), so that the
worker dies there and then, without Python's exit. No hook stands between the two: this one method is wrapped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt


def after_resets(take: Callable[[], None]) -> None:
    """Call `take` each time that SIGTERM may have been given its default, on the main thread."""
    wrapt.register_post_import_hook(lambda module: _before_uvicorn(module, take), "uvicorn.server")
    wrapt.register_post_import_hook(lambda module: _in_celery(module, take), "celery.signals")


def _before_uvicorn(module: Any, take: Callable[[], None]) -> None:
    def around(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        del instance
        take()
        return wrapped(*args, **kwargs)

    if hasattr(module.Server, "capture_signals"):  # older ones raise nothing again
        wrapt.wrap_function_wrapper(module, "Server.capture_signals", around)


def _in_celery(module: Any, take: Callable[[], None]) -> None:
    module.worker_process_init.connect(lambda **_: take(), weak=False)
