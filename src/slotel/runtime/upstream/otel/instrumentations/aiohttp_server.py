"""Faults of OpenTelemetry's instrumentation of aiohttp.web, which is a middleware of each application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.context import get_current

from slotel.runtime.upstream.probe import Probe

_AIOHTTP: Final = "opentelemetry.instrumentation.aiohttp_server"
_NESTED: Final = Probe(
    _AIOHTTP, "_excluded_urls",
    why="an application below another makes a second server span (0.66b1)",
    without="each request to a sub-application of aiohttp counts twice",
)  # fmt: skip
_DURATIONS: Final = tuple(
    Probe(
        _AIOHTTP, f"duration_histogram_{age}",
        why="measures a request before the status that is sent is known (0.66b1)",
        without="http_server_request_duration_seconds has the status 200 for each file that aiohttp sends",
    )
    for age in ("new", "old")
)  # fmt: skip
_STATUSES: Final = ("http.response.status_code", "http.status_code")

MeasureLate = Callable[[Callable[["int | None"], None]], bool]
"""Calls a function with the status that a request was answered with, when it is known; returns whether it will."""


def patch_aiohttp_server(has_span: Callable[[], bool], measure_late: MeasureLate) -> None:
    """Patch the instrumentation, which was just loaded.

    Args:
        has_span: whether the request that is served has its server span.
    """
    module = _NESTED.owner()
    if module is None:
        return
    urls = _NESTED.of(module)
    if urls is not None and not isinstance(urls, _Excluded):
        _NESTED.put(module, _Excluded(urls, has_span))
    for probe in _DURATIONS:
        histogram = probe.of(module)
        if histogram is not None and not isinstance(histogram, _Late):
            probe.put(module, _Late(histogram, measure_late))


class _Excluded:
    """The URLs that the user left out, and those of requests that have their server span."""

    def __init__(self, urls: Any, has_span: Callable[[], bool]) -> None:
        self._urls, self._has_span = urls, has_span

    def url_disabled(self, url: str) -> bool:
        return self._has_span() or bool(self._urls.url_disabled(url))


class _Late:
    """A histogram that records when the status is known."""

    def __init__(self, histogram: Any, measure_late: MeasureLate) -> None:
        self._histogram, self._measure_late = histogram, measure_late

    def record(self, amount: float, attributes: Mapping[str, Any] | None = None, context: Any = None) -> None:
        given, here = dict(attributes or {}), context or get_current()

        def measure(status: int | None) -> None:
            for name in _STATUSES:
                if name in given and status is None:
                    del given[name]
                elif name in given:
                    given[name] = status
            self._histogram.record(amount, given, here)

        if not self._measure_late(measure):
            self._histogram.record(amount, given, here)
