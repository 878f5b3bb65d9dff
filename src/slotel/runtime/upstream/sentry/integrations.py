"""sentry-sdk's integrations: which it enables by itself, and what single ones of them do."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Final

import wrapt
from sentry_sdk import integrations

from slotel.runtime.upstream.probe import SLOWER, Probe

_MOST_NAMES: Final = 2000
"""Pairs of a logger's name and a pattern that are remembered."""
_AUTO: Final = Probe(
    "sentry_sdk.integrations", "_AUTO_ENABLING_INTEGRATIONS",
    why="the list of what plain sentry-sdk would enable",
    without="errors of frameworks other than Flask, Django, Celery, Starlette and FastAPI may go unreported",
)  # fmt: skip
_INSTALLING: Final = Probe(
    "sentry_sdk.integrations", "_installer_lock",
    why="an integration that imports another one's library while it is set up must not wait for itself",
    without="such an `init` does not return",
)  # fmt: skip
_GIVES_WAY: Final = Probe(
    "sentry_sdk.integrations", "_INTEGRATION_DEACTIVATES",
    why="a call that goes through LangChain is one span, not one of OpenAI's as well", without="it is two",
    level=None,  # newer than the oldest release
)  # fmt: skip
_EVENT_HANDLER: Final = Probe(
    "sentry_sdk.integrations.logging:LoggingIntegration", "_handler",
    why="a log line about an exception that was reported makes no event",
    without="such an event is made, and dropped afterwards",
    level=None,  # an attribute of the instance
)  # fmt: skip
_IGNORED: Final = Probe(
    "sentry_sdk.integrations.logging", "fnmatch",
    why="each log record is compared with some twenty patterns of names: the answers are remembered",
    without="each log record costs 8 us more", level=SLOWER,
)  # fmt: skip
_SUBPROCESSES: Final = Probe(
    "sentry_sdk.integrations.stdlib", "_install_subprocess",
    why="breadcrumbs of started processes, and the trace for them, without a hook of each HTTP request",
    without="they have neither",
)  # fmt: skip
_CACHES: Final = Probe(
    "sentry_sdk.integrations.django.caching", "patch_caching",
    why="spans of Django's caches, where the app asks for them", without="`cache_spans` has no effect",
)  # fmt: skip
_LITESTAR: Final = Probe(
    "sentry_sdk.integrations.litestar", "ConnectionDataExtractor",
    why="sentry-sdk parses each body before the handler runs: one that is malformed must not fail the request",
    without="Litestar answers 500 where a client sends JSON that cannot be parsed, as with sentry-sdk alone",
)  # fmt: skip
_LARGEST: Final = 1_000_000
"""Bytes of a body that is shown. Source: Sentry takes events of 1 MB."""
_DIGITS: Final = 7


def auto_enabling_integrations() -> tuple[str, ...]:
    """Return the paths of the integrations that sentry-sdk enables by itself; none where it lists them elsewhere."""
    return tuple(_AUTO.of(integrations) or ())


def superseding_integrations(identifier: str) -> frozenset[str]:
    """Return the integrations of which each, where its library is installed, does what another one would do."""
    known = _GIVES_WAY.of(integrations)
    return frozenset(each for each, others in known.items() if identifier in others) if known else frozenset()


def is_setting_up() -> bool:
    """Return whether sentry-sdk is setting integrations up: setting up another one now may never return."""
    lock = _INSTALLING.of(integrations)
    return lock is not None and bool(lock.locked())


def skip_log_records(integration: Any, skip: Callable[[logging.LogRecord], bool]) -> None:
    """Have sentry-sdk's LoggingIntegration make no event of some log records; breadcrumbs stay."""
    handler = _EVENT_HANDLER.of(integration)
    if isinstance(handler, logging.Handler):
        handler.addFilter(lambda record: not skip(record))


def remember_ignored_loggers() -> None:
    """Have sentry-sdk's LoggingIntegration compare a logger's name with each pattern of ignored ones once."""
    _IGNORED.wrap_imported(functools.lru_cache(_MOST_NAMES))


def note_subprocesses() -> None:
    """Have sentry-sdk write a breadcrumb of each process that is started."""
    install = _SUBPROCESSES.load()
    if install is not None:
        install()


@functools.cache
def trace_django_caches() -> None:
    """Have sentry-sdk make spans of Django's caches, for an integration with `cache_spans`."""
    patch = _CACHES.load()
    if patch is not None:
        patch()


def ignore_unreadable_bodies() -> None:
    """Have Litestar's integration leave out a body that it cannot parse, from its import on.

    The integration parses each body. Without it Litestar answers 400, or calls a handler that reads no body.
    """
    wrapt.register_post_import_hook(_tolerate, _LITESTAR.where)


def _tolerate(module: Any) -> None:
    extractor = _LITESTAR.of(module)
    if extractor is None or extractor.__module__ == __name__:
        return

    class Tolerant(extractor):  # type: ignore[misc, valid-type]  # it is known when it is imported
        async def extract_body(self, request: Any) -> Any:
            length = request.headers.get("content-length", "")
            if not (length.isdigit() and len(length) <= _DIGITS and int(length) <= _LARGEST):
                return None
            try:
                # the request keeps it for the handler, but not what a form is parsed from
                await request.body()
                return await super().extract_body(request)
            except Exception:  # noqa: BLE001 the handler meets it, if it reads the body
                return None

    _LITESTAR.put(module, Tolerant)
