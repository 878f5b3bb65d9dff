"""`spans.drop` and `sentry.sample` as conditions of the collector: what it drops, and which traces a gateway keeps.

A collector sees single spans: children of a dropped span, in a service without slotel, are not dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from slotel.config.sampling import SpanMatch
from slotel.config.service import Service

DROP_PROCESSOR: Final = "filter/dropped"
"""Stands in every pipeline of spans, before they are counted; of an empty policy it drops nothing."""

SAMPLING_FILE: Final = "collector/sampling.yaml"

_PATHS: Final = ("url.path", "http.target", "http.route")
"""Attributes of a request with which a route is compared, as in `slotel.runtime.tracing.route_rules`."""

_LOCAL_ROOT: Final = (
    "(IsRootSpan() or span.flags >= 768 or "
    "span.flags < 256 and (span.kind == SPAN_KIND_SERVER or span.kind == SPAN_KIND_CONSUMER))"
)
"""Bits 8 and 9 of OTLP's flags say whether a parent is remote; older exporters send neither."""

_LOW_BITS: Final = "Substring(span.trace_id.string, 16, 16)"
_POSSIBLE: Final = 2**64

_KEPT: Final[Sequence[dict[str, Any]]] = (
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {
        "name": "bad-outcome",
        "type": "string_attribute",
        "string_attribute": {"key": "slo.outcome", "values": ["bad"]},
    },
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": "${env:TAIL_SLOW_MS:-1000}"}},
)
"""Policies of `gateway.yaml` that keep a trace at any rate: all except the baseline."""


def dropped(services: Sequence[Service]) -> dict[str, Any]:
    """Return the filter of spans that are neither counted nor exported."""
    return {
        "error_mode": "ignore",
        "trace_conditions": [
            _both(_of(service), condition)
            for service in services
            for match in service.drop
            if (condition := _match(match))
        ],
    }


def sampling(services: Sequence[Service]) -> dict[str, Any] | None:
    """Return the sampling of a gateway; None if no service samples by route.

    A rule decides at the root of a trace, by the bits of its id that the services decide by. A trace whose root no rule
    is about is sampled as before.
    """
    rules = [rule for service in services for rule in _rules(service)]
    if not rules:
        return None
    about = " or ".join(f"({about})" for about, _ in rules)
    policies = [
        *_KEPT,
        *(
            {"name": f"route-{number}", **_keep(f"IsRootSpan() and {sampled}")}
            for number, (_, sampled) in enumerate(rules, 1)
            if sampled
        ),
        {
            "name": "baseline",
            "type": "and",
            "and": {
                "and_sub_policy": [
                    {"name": "roots-without-a-rule", **_keep(f"IsRootSpan() and not ({about})")},
                    {
                        "name": "share",
                        "type": "probabilistic",
                        "probabilistic": {"sampling_percentage": "${env:TAIL_BASELINE_PERCENT:-5}"},
                    },
                ]
            },
        },
    ]
    return {"processors": {"tail_sampling": {"policies": policies}}}


def _rules(service: Service) -> Iterator[tuple[str, str]]:
    """Yield, for each rate, the conditions of its requests and of those that are sampled. The first match decides."""
    before: list[str] = []
    for each in service.sentry.sample:
        if (route := _route(each.route)) is None:
            continue
        about = _both(_of(service), f"({route})")
        yield (
            about,
            "".join((about, *before, _share(bound))) if (bound := round(each.rate * _POSSIBLE)) else "",
        )
        before.append(f" and not ({route})")


def _share(bound: int) -> str:
    return "" if bound >= _POSSIBLE else f" and {_LOW_BITS} < {quoted(f'{bound:016x}')}"


def _keep(condition: str) -> dict[str, Any]:
    condition = condition.replace("$", "$$")  # the collector expands `${NAME}` in its configuration
    return {"type": "ottl_condition", "ottl_condition": {"error_mode": "ignore", "span": [condition]}}


def _match(match: SpanMatch) -> str | None:
    if match.name:
        pattern = ".*".join(re.escape(piece) for piece in match.name.split("*"))
        return f"IsMatch(span.name, {quoted(f'^(?s:{pattern})$')})"
    route = _route(match.route)
    return None if route is None else f"{_LOCAL_ROOT} and ({route})"


def _route(route: str) -> str | None:
    """Return the condition that a path of the span matches a route; None if none can, because paths have no query."""
    pieces = re.split(r"(\*|\{[^{}]*\}|<[^<>]*>)", route)
    if any("?" in piece for piece in pieces[::2]):
        return None
    pattern = quoted(f"^{''.join(map(_piece, pieces))}(?:[?](?s:.*))?$")
    return " or ".join(f'IsMatch(span.attributes["{key}"], {pattern})' for key in _PATHS)


def _piece(piece: str) -> str:
    if piece == "*":
        return "[^?]*"
    return "[^/?]+" if piece[:1] in ("{", "<") and len(piece) > 1 else re.escape(piece)


def _of(service: Service) -> str:
    return f'resource.attributes["service.name"] == {quoted(service.name)}' if service.name else ""


def _both(first: str, second: str) -> str:
    return f"{first} and {second}" if first else second


def quoted(text: str) -> str:
    """Return a string literal of OTTL, the collector's own language."""
    return json.dumps(text, ensure_ascii=False)
