"""Content negotiation: format and compression by a scraper's headers. Source: RFC 9110, 12.5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_OPENMETRICS: Final = "application/openmetrics-text"
_TEXT: Final = ("text/plain", "text/*", "*/*")
_VERSIONS: Final = ("", "1.0.0", "0.0.1")
_MAX_RANGES: Final = 50
"""Most parts of a header that are read: 16 KB may have 8,000, which take 30 ms."""


def wants_openmetrics(accept: str) -> bool:
    """Return whether OpenMetrics is preferred to the text format; a wildcard means text.

    >>> wants_openmetrics("application/openmetrics-text;version=1.0.0;q=0.5, text/plain;q=0.9")
    False
    >>> wants_openmetrics("application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    True
    """
    openmetrics, text = 0.0, 0.0
    for kind, parameters, quality in _ranges(accept):
        if kind == _OPENMETRICS and parameters.get("version", "").strip('"') in _VERSIONS:
            openmetrics = max(openmetrics, quality)
        elif kind in _TEXT:
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


def wants_gzip(accept_encoding: str) -> bool:
    """Return whether the answer may be compressed.

    >>> wants_gzip("gzip;q=0"), wants_gzip("deflate, gzip;q=0.5")
    (False, True)
    """
    named = {kind: quality for kind, _, quality in _ranges(accept_encoding)}
    return named.get("gzip", named.get("*", 0.0)) > 0


def _ranges(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield each range with its parameters and quality; what cannot be read weighs nothing."""
    for part in header.lower().split(",", _MAX_RANGES)[:_MAX_RANGES]:
        kind, *rest = (piece.strip() for piece in part.split(";"))
        parameters = {
            name.strip(): value.strip() for name, _, value in (piece.partition("=") for piece in rest)
        }
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if kind:
            yield kind, parameters, quality if 0 <= quality <= 1 else 0.0
