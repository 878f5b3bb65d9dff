"""Recording rules: how many events, how many bad, in which window; never an alert.

Windows up to an hour are read from the counters. Longer ones are sums of the recorded 5 m window: evaluated every
30 s, each event stands in ten of them. So a long window weighs by traffic, and no average of ratios is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from slotel.compile import conventions as at
from slotel.compile.promql import Rule, number
from slotel.compile.sources import Counts
from slotel.model.duration import format_duration
from slotel.model.service import Service
from slotel.model.slo import HOUR, Slo, TimeSlices

MONTHS: Final = 3
"""Classes of a month-to-date sum. 31 days reach over at most three months, so one class never holds two of them."""
QUARTERS: Final = 4
CLASS: Final = "slo_calendar"
_SIDES: Final = (("events", at.total), ("events_bad", at.bad))


def windows(slo: Slo) -> tuple[float, ...]:
    """Return every window of an objective, in seconds: the tiers' and its own."""
    return tuple(sorted({*at.DIRECT, *at.SUMMED, slo.window}))


def sli_rules(service: Service, slo: Slo, counts: Counts) -> Iterator[Rule]:
    """Yield the counts and ratios of every window but the period."""
    labels = at.labels(service, slo)
    if slo.slices is not None:
        yield from _slice_rules(service, slo, slo.slices, counts)
    for seconds in windows(slo):
        window = format_duration(seconds)
        if seconds > HOUR:
            events, faulty = _summed(service, slo, window)
        elif slo.slices is not None:
            events, faulty = _sliced(service, slo, slo.slices, window)
        else:
            known = f"sum({at.recorded(at.total(window), service, slo)})"
            events, faulty = counts.total(window), counts.bad(window, known)
        yield Rule(events, record=at.total(window), labels=labels)
        yield Rule(faulty, record=at.bad(window), labels=labels)
        yield _ratio_rule(service, slo, window)
    yield from tile_rules(service, slo)


def tile_rules(service: Service, slo: Slo) -> Iterator[Rule]:
    """Yield the tiles of the period: one sample at the first evaluation of every ten minutes of the clock."""
    due = f"on () (vector(time()) % {number(at.TILE)} < {number(at.INTERVAL)})"
    for what, base in _SIDES:
        tile = f"{_recent(service, slo, base)}\nand {due}"
        labels = at.labels(service, slo)
        if slo.period.calendar is None:
            yield Rule(tile, record=at.tile(what), labels=labels)
        else:  # under the class of its month
            for index, now in enumerate(_classes(slo)):
                yield Rule(f"{tile}\nand {now}", record=at.tile(what), labels={**labels, CLASS: str(index)})


def period_rules(service: Service, slo: Slo) -> Iterator[Rule]:
    """Yield the counts and the ratio of the period: its tiles, and as much of the last ten minutes as is not in one."""
    labels = at.labels(service, slo)
    period = at.period_name(slo)
    late = number(at.INTERVAL)  # so long the tile of ten minutes that are over may not be there yet
    untiled = f"(((time() - {late}) % {number(at.TILE)} + {late}) / {number(at.TILE)})"
    for what, base in _SIDES:
        tiles = _tiles(service, slo, what)
        rest = f"{_recent(service, slo, base)} * {untiled}"
        expr = f"({tiles} or 0 * ({rest}))\n+\n({rest} or 0 * ({tiles}))"
        yield Rule(expr, record=base(period), labels=labels)
    yield _ratio_rule(service, slo, period)


def _tiles(service: Service, slo: Slo, what: str) -> str:
    """Return the sum of the period's tiles; of a calendar's, those since the month or quarter began (UTC)."""
    if slo.period.calendar is None:
        return f"sum_over_time({at.recorded(at.tile(what), service, slo, at.period_name(slo))})"
    reach = "31d" if slo.period.calendar == "month" else "92d"
    terms = []
    for index, now in enumerate(_classes(slo)):
        source = at.recorded(at.tile(what), service, slo, reach, slo_calendar=str(index))
        terms.append(f"sum without ({CLASS}) (sum_over_time({source})) and {now}")
    return "(" + "\nor ".join(terms) + ")"


def _classes(slo: Slo) -> Iterator[str]:
    """Yield what is true in the months of each class."""
    if slo.period.calendar == "month":
        yield from (f"on () (month() % {MONTHS} == {index})" for index in range(MONTHS))
    else:
        yield from (f"on () (floor((month() - 1) / 3) == {index})" for index in range(QUARTERS))


def _recent(service: Service, slo: Slo, base: Callable[[str], str]) -> str:
    """Return the events of the last ten minutes. A second less: Prometheus 2 has both ends of a range in it."""
    source = at.recorded(base(format_duration(at.BASE)), service, slo, format_duration(at.TILE - 1))
    return f"sum_over_time({source}) / {number(at.BASE / at.INTERVAL)}"


def meta_rules(service: Service, slo: Slo) -> Iterator[Rule]:
    """Yield the objective itself, its burn rates and what is left."""
    labels = at.labels(service, slo)
    period = at.period_name(slo)
    limit = number(slo.limit)
    none = f"0 * {at.recorded(at.BUDGET, service, slo)}"
    left = at.recorded(at.REMAINING, service, slo)
    hour = at.recorded(at.ratio("1h"), service, slo)
    exprs = {
        at.OBJECTIVE: f"vector({number(slo.objective)})",
        at.BUDGET: f"vector({limit})",
        at.PERIOD_DAYS: f"vector({number(slo.period.seconds / 86400)})",
        at.BURN_NOW: f"{_unwindowed(at.recorded(at.ratio('5m'), service, slo))} / {limit}\nor {none}",
        at.BURN_PERIOD: f"{_unwindowed(at.recorded(at.ratio(period), service, slo))} / {limit}\nor {none}",
        at.REMAINING: f"1 - {at.recorded(at.BURN_PERIOD, service, slo)}",
        at.EXHAUSTION: f"clamp_min({left}, 0) * {number(slo.period.seconds)} * {limit}\n"
        f"/ {_unwindowed(f'{hour} > 0')}",
    }
    for record, expr in exprs.items():
        yield Rule(expr, record=record, labels=labels)
    info = {
        "sloth_mode": "cli-gen-prom",
        "sloth_objective": number(slo.objective * 100),
        "sloth_spec": "slotel",
        "sloth_version": "slotel",
    }
    yield Rule("vector(1)", record=at.INFO, labels={**labels, **info})


def _ratio_rule(service: Service, slo: Slo, window: str) -> Rule:
    bad, total = at.recorded(at.bad(window), service, slo), at.recorded(at.total(window), service, slo)
    return Rule(
        f"{bad}\n/ ({total} > 0)",
        record=at.ratio(window),
        labels={**at.labels(service, slo), at.LABEL_WINDOW: window},
    )


def _summed(service: Service, slo: Slo, window: str) -> tuple[str, str]:
    share = number(at.BASE / at.INTERVAL)
    base = format_duration(at.BASE)
    return (
        f"sum_over_time({at.recorded(at.total(base), service, slo, window)}) / {share}",
        f"sum_over_time({at.recorded(at.bad(base), service, slo, window)}) / {share}",
    )


def _sliced(service: Service, slo: Slo, slices: TimeSlices, window: str) -> tuple[str, str]:
    share = number(slices.seconds / at.INTERVAL)
    source = at.recorded(at.SLICE, service, slo, window)
    return f"count_over_time({source}) / {share}", f"sum_over_time({source}) / {share}"


def _slice_rules(service: Service, slo: Slo, slices: TimeSlices, counts: Counts) -> Iterator[Rule]:
    """Yield whether the slice that ends now is bad. A slice without events is good: time passed, nobody was hurt."""
    labels, length = at.labels(service, slo), format_duration(slices.seconds)
    total, bad = f"{at.SLICE_TOTAL}{length}", f"{at.SLICE_BAD_EVENTS}{length}"
    known = at.recorded(total, service, slo)
    yield Rule(counts.total(length), record=total, labels=labels)
    yield Rule(counts.bad(length, f"sum({known})"), record=bad, labels=labels)
    faulty = f"{at.recorded(bad, service, slo)} / ({known} > 0) > bool {number(slices.limit)}"
    yield Rule(f"{faulty}\nor 0 * {known}", record=at.SLICE, labels=labels)


def _unwindowed(selector: str) -> str:
    return f"max without ({at.LABEL_WINDOW}) ({selector})"
