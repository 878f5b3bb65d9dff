"""Keeps sentry-sdk's integrations from failing a request whose body they cannot parse."""

from __future__ import annotations

from typing import Any, Final

import wrapt

from slotel.runtime.upstream.probe import Probe

_MODULE: Final = "sentry_sdk.integrations.litestar"
_EXTRACTOR: Final = Probe(
    _MODULE, "ConnectionDataExtractor",
    why="sentry-sdk parses each body before the handler runs: one that is malformed must not fail the request",
    without="Litestar answers 500 where a client sends JSON that cannot be parsed, as with sentry-sdk alone",
)  # fmt: skip


_LARGEST: Final = 1_000_000
"""Bytes of a body that is shown. Source: Sentry takes events of 1 MB."""
_DIGITS: Final = 7


def ignore_unreadable_bodies() -> None:
    """Have Litestar's integration leave out a body that it cannot parse, from its import on.

    The integration parses each body. Without it Litestar answers 400, or calls a handler that reads no body.
    """
    wrapt.register_post_import_hook(_tolerate, _MODULE)


def _tolerate(module: Any) -> None:
    extractor = _EXTRACTOR.of(module)
    if extractor is None or extractor.__module__ == __name__:
        return

    class Tolerant(extractor):  # type: ignore[misc, valid-type]  # it is known when it is imported
        async def extract_body(self, request: Any) -> Any:
            length = request.headers.get("content-length", "")
            if not (length.isdigit() and len(length) <= _DIGITS and int(length) <= _LARGEST):
                return None
            try:
                await (
                    request.body()
                )  # the request keeps it for the handler, but not what a form is parsed from
                return await super().extract_body(request)
            except Exception:  # noqa: BLE001 the handler meets it, if it reads the body
                return None

    _EXTRACTOR.put(module, Tolerant)
