"""Drafts slotel.yaml from what the last weeks of a service were like: numbers in, text out, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from slotel.compile.promql import number
from slotel.compile.yaml_file import yaml_lines
from slotel.config.slo import MIN_BAD_EVENTS

LADDER: Final = (0.9999, 0.9995, 0.999, 0.995, 0.99, 0.98, 0.95, 0.9)
"""Objectives that people choose, the strictest first."""
KEPT: Final = 0.8
"""An objective is drafted if at most so large a share of its budget was spent: the next weeks may be worse."""
FEWEST: Final = MIN_BAD_EVENTS / (1 - 0.99) / 4
"""Events a week below which even 99 % tolerates only a few bad ones in a month: nothing to steer by."""
_LATENCY: Final = (0.99, 0.95, 0.9)


@dataclass(frozen=True, slots=True)
class Route:
    """The measured ratios and durations of a route.

    Args:
        events: number of events in the time.
        bad: how many of them failed.
        within: edge of the histogram, in seconds → number of good events that were faster.
    """

    name: str
    events: float
    bad: float
    within: dict[float, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """One objective of the draft: its lines in slotel.yaml, and why."""

    name: str
    objective: float
    reason: str
    latency: float | None = None
    route: str = ""


def suggest(routes: Sequence[Route], weeks: float) -> tuple[list[Draft], list[str]]:
    """Return objectives for the service and its routes, and a sentence for each route that is left out."""
    drafts: list[Draft] = []
    left_out: list[str] = []
    whole = Route("", sum(each.events for each in routes), sum(each.bad for each in routes), _merged(routes))
    named = sorted((each for each in routes if each.name), key=lambda each: -each.events)
    for route in (whole, *named):
        if route.events / weeks < FEWEST:
            left_out.append(
                f"{route.name or 'the service'}: {route.events / weeks:.0f} events a week are too few: at 99 % one in "
                "a hundred may fail, which is less than the five that an alert needs"
            )
        elif route is whole or route.events < 0.98 * whole.events:  # else it is the service
            name = f"{_name(route.name)}-" if route.name else ""
            found = list(_of(route, weeks, f"{name}availability", f"{name}latency"))
            drafts += found
            if not found:
                left_out.append(
                    f"{route.name or 'the service'}: {route.bad / route.events * 100:.3g} % of {route.events:,.0f} "
                    f"events failed: not even {LADDER[-1] * 100:g} % was met with a fifth of its budget left"
                )
    return drafts, left_out


def _of(route: Route, weeks: float, availability: str, latency: str) -> Iterator[Draft]:
    least = MIN_BAD_EVENTS / (route.events / weeks * 4)
    objective, strictest = met(route.bad / route.events, least), met(route.bad / route.events)
    good = 1 - route.bad / route.events
    if objective is not None:
        reason = f"{good * 100:.5g} % of {route.events:,.0f} were good"
        if objective != strictest:
            reason += f"; a stricter one would tolerate fewer than {MIN_BAD_EVENTS} bad events in four weeks"
        yield Draft(availability, objective, reason, route=route.name)
    for share in _LATENCY:
        edge = next(
            (e for e, fast in sorted(route.within.items()) if _is_met(1 - fast / route.events, share)), None
        )
        if edge is not None:
            within = route.within[edge] / route.events
            yield Draft(
                latency,
                share,
                f"{within * 100:.5g} % were good and faster than {_duration(edge)}",
                edge,
                route.name,
            )
            return


def met(bad: float, least: float = 0.0) -> float | None:
    """Return the strictest usual objective of which at most KEPT of the budget was spent; None if none was met.

    Args:
        least: smallest share of bad events that it may tolerate: of few events a smaller one is no whole event.

    >>> met(0.0), met(0.0007), met(0.2), met(0.0, least=0.004)
    (0.9999, 0.999, None, 0.995)
    """
    allowed = (objective for objective in LADDER if 1 - objective >= least - 1e-12)
    return next((objective for objective in allowed if _is_met(bad, objective)), None)


def _is_met(bad: float, objective: float) -> bool:
    return bad <= KEPT * (1 - objective) + 1e-12


def _merged(routes: Sequence[Route]) -> dict[float, float]:
    edges = {edge for each in routes for edge in each.within}
    common = [edge for edge in edges if all(edge in each.within for each in routes if each.within)]
    return {edge: sum(each.within.get(edge, 0.0) for each in routes) for edge in sorted(common)}


def _name(route: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", route).strip("-").lower()[:40].strip("-") or "root"


def _duration(seconds: float) -> str:
    return f"{number(seconds * 1000)}ms" if seconds < 1 or seconds % 1 else f"{number(seconds)}s"


def to_yaml(service: str, drafts: Sequence[Draft], left_out: Sequence[str], source: str, span: str) -> str:
    """Return the draft as slotel.yaml."""
    lines = [
        f"# A draft from the last {span}: every objective was met, with at least a fifth of its budget left.",
        "# Check what the users need before you keep a number: what was is not what should be.",
        "version: 1",
        *yaml_lines({"service": service, "monitoring": {"source": source}}),
        "slos:",
    ]
    used: set[str] = set()
    for draft in drafts:
        name = draft.name
        while name in used:
            name += "-2"
        used.add(name)
        document: dict[str, object] = {"name": name, "objective": f"{draft.objective * 100:.10g}%"}
        if draft.latency is not None:
            document["latency"] = _duration(draft.latency)
        if draft.route:
            document["include"] = {"http.route": [draft.route]}
        lines += [f"  # {draft.reason}", *yaml_lines([document], 2)]
    if not drafts:
        lines[-1] = "slos: []"
    lines += [f"# left out: {' '.join(sentence.split())}" for sentence in left_out]
    return "\n".join(lines) + "\n"
