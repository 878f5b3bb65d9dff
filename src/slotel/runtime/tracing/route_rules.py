"""`sentry.sample` and `spans.drop`: what the sampler decides by route or name, from what a span has at its start."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from slotel.config.patterns import with_stars
from slotel.config.sampling import RouteRate, SpanMatch, route_pattern
from slotel.config.service import Service

_PATHS: Final = ("url.path", "http.target", "http.route")
"""Attributes that a server span has at its start, in the new and the old conventions."""
_TRACE_ID_BITS: Final = 2**64

Rates = tuple[tuple[Callable[[str], Any], int], ...]


class RouteRules:
    """Rules that drop spans, and that set the rate at which the requests of a route are sampled.

    Args:
        sample: the first match decides; without one the sampler does.
        drop: by route, of local roots; by name, of any span.
    """

    def __init__(self, sample: Sequence[RouteRate], drop: Sequence[SpanMatch]) -> None:
        self._rates: Rates = tuple(
            (route_pattern(each.route).fullmatch, round(each.rate * _TRACE_ID_BITS)) for each in sample
        )
        self._routes = tuple(route_pattern(each.route).fullmatch for each in drop if each.route)
        self._names = tuple(_name_pattern(each.name).fullmatch for each in drop if each.name)
        self.drops_any = bool(drop)
        self.drops_by_name = bool(self._names)

    def is_dropped(self, name: str, attributes: Mapping[str, Any] | None, *, is_local_root: bool) -> bool:
        """Return whether a span is neither counted nor exported."""
        if any(matches(name) for matches in self._names):
            return True
        return is_local_root and self._first(self._routes, attributes) is not None

    def is_sampled(self, trace_id: int, attributes: Mapping[str, Any] | None) -> bool | None:
        """Return whether the root of a trace is sampled; None if no rule is about its route."""
        index = self._first([matches for matches, _ in self._rates], attributes)
        return None if index is None else trace_id % _TRACE_ID_BITS < self._rates[index][1]

    @staticmethod
    def _first(patterns: Sequence[Callable[[str], Any]], attributes: Mapping[str, Any] | None) -> int | None:
        given = attributes or {}
        paths = [str(given[key]).partition("?")[0] for key in _PATHS if key in given]
        return next((index for index, matches in enumerate(patterns) if any(map(matches, paths))), None)


def rules_of(service: Service) -> RouteRules | None:
    """Return the rules of a service, None if it has none: then no span pays for them."""
    if not service.sentry.sample and not service.drop:
        return None
    return RouteRules(service.sentry.sample, service.drop)


def _name_pattern(name: str) -> re.Pattern[str]:
    return re.compile(with_stars([re.escape(piece) for piece in name.split("*")]), re.DOTALL)
