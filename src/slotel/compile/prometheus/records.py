"""Recording rules: how many events, how many bad, in which window; never an alert.

Windows up to an hour are read from the counters, objective by objective. Longer ones are sums of what was recorded, so
one rule records them for all objectives of a service: up to a day the last hour, and what was before it from the 5 m
window, which is evaluated every 30 s, so that each event stands in ten of them; a day and more from tiles of ten
minutes. So a long window weighs by traffic, no average of ratios is taken, and a page waits for no sum (decision 0675).
Events that the 5 m windows do not have, because a scrape or an evaluation was missed, are found in the last hour's and
added (decision 0705).
The tiles, and what is counted since the last one, are recorded by one group; the group that adds them up reads both as
they were one evaluation earlier, so the order of the groups does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from slotel.compile import conventions as at
from slotel.compile.promql import Rule, number
from slotel.compile.sources import Counts
from slotel.config.duration import format_duration
from slotel.config.foreign.promql import quote
from slotel.config.service import Service
from slotel.config.slo import DAY, HOUR, Slo, TimeSlices

MONTHS: Final = 3
"""Classes of a month-to-date sum. 31 days reach over at most three months, so one class never holds two of them."""
QUARTERS: Final = 4
CLASS: Final = "slo_calendar"
PART: Final = "slo_part"
"""Keeps the parts of a window apart until they are added."""
_SIDES: Final = (("events", at.total), ("events_bad", at.bad))
NOISE: Final = 0.03
"""The share of an hour's events by which the sum of its 5 m windows may differ, as both are extrapolated."""
_SETTLED: Final = f"offset {format_duration(at.INTERVAL)}"
"""The other group's previous evaluation is complete, whichever group runs first."""

Slos = Sequence[Slo]


def windows(service: Service, slo: Slo) -> tuple[float, ...]:
    """Return every window of an objective, in seconds, ascending: those of the alerts and of a rolling period."""
    period = () if slo.period.calendar else (slo.period.seconds,)
    least = at.base(service)
    fixed = (max(window, least) for window in (*at.DIRECT, *at.SUMMED, *at.TILED))
    return tuple(sorted({*fixed, at.limit_window(service, slo), *period}))


def direct_rules(service: Service, slo: Slo, counts: Counts) -> Iterator[Rule]:
    """Yield the counts of an objective in the windows that are read from its counters."""
    labels = at.labels(service, slo)
    if slo.slices is not None:
        yield from _slice_rules(service, slo, slo.slices, counts)
    for seconds in windows(service, slo):
        window = format_duration(seconds)
        if seconds > HOUR:
            continue
        if slo.slices is not None:
            events, faulty = _sliced(service, slo, slo.slices, window)
        else:
            known = _known(at.recorded(at.total(window), service, slo), slo)
            events = _named_group(counts.total(window), slo)
            faulty = _named_group(counts.bad(window, known), slo)
        yield Rule(events, record=at.total(window), labels=labels)
        yield Rule(faulty, record=at.bad(window), labels=labels)


def _known(recorded: str, slo: Slo) -> str:
    """Return a recorded number with no labels but the group's."""
    return f"sum by ({', '.join(at.groups(slo))}) ({recorded})" if at.groups(slo) else f"sum({recorded})"


def _named_group(expr: str, slo: Slo) -> str:
    """Return the expression with the group's name as a label, where there are groups."""
    if not at.groups(slo):
        return expr
    labels = ", ".join(map(quote, at.groups(slo)))
    return f'label_join({expr}, "{at.LABEL_GROUP}", ",", {labels})'


def ratio_rules(service: Service, slos: Slos) -> Iterator[Rule]:
    """Yield the counts of windows up to a day, and the ratios of these and of the direct ones; then the tiles."""
    yield from _missed_rules(service, slos)
    for window, seconds, chosen in _by_window(service, slos, 0, DAY):
        if seconds > HOUR:
            older = format_duration(at.before_last_hour(seconds))
            for what, base in _SIDES:
                hour = at.recorded_of(base("1h"), service, chosen)
                counted = at.recorded_of(at.counted(what), service, chosen)
                added = at.recorded_of(at.missed(what), service, chosen, format_duration(HOUR - 1))
                newest = f"(({counted} > {hour} and sum_over_time({added}) > 0)\n  or {hour}\n  or {counted})"
                yield Rule(
                    _sum(*_counted(service, chosen, what, older, "offset 1h"), newest), record=base(window)
                )
        yield _ratio_rule(service, chosen, window)
    yield from tile_rules(service, slos)


def _missed_rules(service: Service, slos: Slos) -> Iterator[Rule]:
    """Yield how much of the last hour the base windows have counted, and what they missed of it.

    The increase of an hour spans a gap between two scrapes that no window of five minutes does. Averaged over the base
    window it is the sum of the base windows of the hour: what is more was missed. What is less after that was added too
    early: of evaluations that were missed while scrapes went on, the next base windows count some events, too. An
    evaluation that comes later or sooner than the interval stands for as much more or less.
    """
    base_seconds = at.base(service)
    for what, base in _SIDES:
        yield Rule(_sum(*_counted(service, slos, what, format_duration(HOUR - 1))), record=at.counted(what))
        recent, hour = (at.recorded_of(base(window), service, slos) for window in (_base(service), "1h"))
        almost = format_duration(base_seconds - 1)
        hours = at.recorded_of(base("1h"), service, slos, almost)
        missing = f"avg_over_time({hours}) - {at.recorded_of(at.counted(what), service, slos)}"
        added = at.recorded_of(at.missed(what), service, slos, format_duration(2 * base_seconds - 1))
        noise = f"{number(NOISE)} * {hour}"
        elapsed = f"clamp_max(time() - timestamp({recent} offset 1s), {number(base_seconds)})"
        yield Rule(
            f"({missing} > {noise} and {hour} offset {almost})\n"
            f"or ({missing} < -{noise} and {missing} > -sum_over_time({added}))\n"
            f"or {recent} * ({elapsed} - {number(at.INTERVAL)}) / {number(base_seconds)} != 0",
            record=at.missed(what),
        )


def _counted(service: Service, slos: Slos, what: str, window: str, offset: str = "") -> tuple[str, str]:
    """Return the parts of the number of events that the base windows of the last `window` counted, and missed."""
    base = dict(_SIDES)[what]
    recent = at.recorded_of(base(_base(service)), service, slos, window)
    missed = at.recorded_of(at.missed(what), service, slos, window)
    end = f" {offset}" if offset else ""
    return f"sum_over_time({recent}{end}) / {_share(service)}", f"sum_over_time({missed}{end})"


def tile_rules(service: Service, slos: Slos) -> Iterator[Rule]:
    """Yield the tiles of long windows: at the first evaluation in ten minutes of the clock, the events before it.

    Then the events since the last tile: at each evaluation the share of the base window that is new is added. A tile
    that no evaluation closed in time is closed by the next one.
    """
    for calendar, chosen in _by_calendar(slos):
        for what, _ in _SIDES:
            so_far = at.recorded_of(at.open_tile(what), service, chosen, "1h")
            tile = f"last_over_time({so_far})\nunless {_is_open(service, chosen, what)}"
            if calendar is None:
                yield Rule(tile, record=at.tile(what))
            else:  # under the class of its month, which may have ended with it
                for index, then in enumerate(
                    _classes(calendar, f"vector(time() - time() % {number(at.TILE)} - 1)")
                ):
                    yield Rule(f"({tile})\nand {then}", record=at.tile(what), labels={CLASS: str(index)})
    for what, base in _SIDES:
        new = f"{at.recorded_of(base(_base(service)), service, slos)} / {_share(service)}"
        so_far = at.recorded_of(at.open_tile(what), service, slos)
        missed = at.recorded_of(at.missed(what), service, slos)
        open_ = f"({so_far} and {_is_open(service, slos, what)})"
        closed = f"0 * (last_over_time({at.recorded_of(at.open_tile(what), service, slos, '1h')}) > 0)"
        yield Rule(f"{_sum(open_, new, missed)}\nor {closed}", record=at.open_tile(what))


def _is_open(service: Service, slos: Slos, what: str) -> str:
    """Return what exists if the events since the last tile were recorded in these ten minutes of the clock."""
    so_far = at.recorded_of(at.open_tile(what), service, slos)
    return f"timestamp({so_far}) >= time() - time() % {number(at.TILE)}"


def long_rules(service: Service, slos: Slos) -> Iterator[Rule]:
    """Yield the counts and ratios of windows of a day and more."""
    for window, seconds, chosen in _by_window(service, slos, DAY, float("inf")):
        reach = format_duration(
            seconds - at.TILE - 1
        )  # with what came after the last tile: never more than the window
        for what, base in _SIDES:
            tiles = f"sum_over_time({at.recorded_of(at.tile(what), service, chosen, reach)} {_SETTLED})"
            if any(slo.period.calendar is not None for slo in chosen):
                tiles = f"sum without ({CLASS}) ({tiles})"
            yield Rule(_with_rest(tiles, service, chosen, what), record=base(window))
        yield _ratio_rule(service, chosen, window)


def period_rules(service: Service, slos: Slos) -> Iterator[Rule]:
    """Yield the counts and the ratio of the calendar's month or quarter; a rolling period is a window like others."""
    for calendar, chosen in _by_calendar(slos):
        if calendar is None:
            continue
        for what, base in _SIDES:
            tiles = _tiles(service, chosen, what, calendar)
            yield Rule(_with_rest(tiles, service, chosen, what), record=base(calendar))
        yield _ratio_rule(service, chosen, calendar)


def _with_rest(tiles: str, service: Service, slos: Slos, what: str) -> str:
    """Return tiles plus what was counted since the last of them; either may be missing."""
    return _sum(tiles, f"{at.recorded_of(at.open_tile(what), service, slos)} {_SETTLED}")


def _sum(*parts: str) -> str:
    """Return the sum of parts of a window, of which any may be missing."""
    named = (f'label_replace({part}, "{PART}", "{index}", "", "")' for index, part in enumerate(parts))
    return f"sum without ({PART}) (\n  " + "\n  or ".join(named) + "\n)"


def _tiles(service: Service, slos: Slos, what: str, calendar: str) -> str:
    """Return the sum of the tiles since the month or quarter began (UTC)."""
    reach = "31d" if calendar == "month" else "92d"
    terms = []
    for index, now in enumerate(_classes(calendar)):
        source = at.recorded_of(at.tile(what), service, slos, reach, slo_calendar=str(index))
        terms.append(f"sum without ({CLASS}) (sum_over_time({source} {_SETTLED})) and {now}")
    return "(" + "\n  or ".join(terms) + ")"


def _classes(calendar: str, moment: str = "") -> Iterator[str]:
    """Yield what is true in the months of each class; `moment` is PromQL of the time, now by default."""
    if calendar == "month":
        yield from (f"on () (month({moment}) % {MONTHS} == {index})" for index in range(MONTHS))
    else:
        yield from (f"on () (floor((month({moment}) - 1) / 3) == {index})" for index in range(QUARTERS))


def _base(service: Service) -> str:
    return format_duration(at.base(service))


def _share(service: Service) -> str:
    """Return in how many evaluations of the base window an event stands."""
    return number(at.base(service) / at.INTERVAL)


def objective_rules(service: Service, slo: Slo) -> Iterator[Rule]:
    """Yield what an objective is, as constant series: a share, its complement, days, and a 1 with what it promises."""
    labels = at.labels(service, slo)
    exprs = {at.OBJECTIVE: slo.objective, at.BUDGET: slo.limit, at.PERIOD_DAYS: slo.period.seconds / DAY}
    for record, value in exprs.items():
        yield Rule(f"vector({number(value)})", record=record, labels=labels)
    tags = service.tags
    default = tags.required["team"].default if "team" in tags.required else None
    told = {
        "description": slo.description,
        "owner": tags.set.get("owner") or tags.set.get("team") or default or "",
    }
    info = {
        "sloth_mode": "cli-gen-prom",
        "sloth_objective": number(slo.objective * 100),
        "sloth_spec": "slotel",
        "sloth_version": "slotel",
        **{key: text for key, text in told.items() if text and key not in service.monitoring.match},
    }
    yield Rule("vector(1)", record=at.INFO, labels={**labels, **info})


def alive_rules(service: Service, counted: Sequence[tuple[Slo, Counts]]) -> Iterator[Rule]:
    """Yield what is > 0 while the service does anything, once for each choice of span kinds: it reads every route."""
    found = {
        at.alive_labels(service, slo)[at.LABEL_KINDS]: (slo, counts)
        for slo, counts in counted
        if counts.alive
    }
    for slo, counts in found.values():
        yield Rule(counts.alive, record=at.ALIVE, labels=at.alive_labels(service, slo))


def burn_rule(service: Service, slos: Slos) -> Rule:
    """Return the record of the burn rate in the last five minutes; 0 while there are no events."""
    return Rule(_burn(service, slos, [_base(service)]), record=at.BURN_NOW)


def budget_rules(service: Service, slos: Slos) -> Iterator[Rule]:
    """Yield the period's burn rate, what is left of the budget, and how long it lasts at the last hour's rate."""
    periods = list(dict.fromkeys(at.period_name(slo) for slo in slos))
    left = at.recorded_of(at.REMAINING, service, slos)
    hour = at.recorded_of(at.ratio("1h"), service, slos)
    days, budget = (at.recorded_of(record, service, slos) for record in (at.PERIOD_DAYS, at.BUDGET))
    per = _per_objective(service)
    yield Rule(_burn(service, slos, periods), record=at.BURN_PERIOD)
    yield Rule(f"1 - {at.recorded_of(at.BURN_PERIOD, service, slos)}", record=at.REMAINING)
    yield Rule(
        f"clamp_min({left}, 0) * {number(DAY)}\n* {per} {days}\n* {per} {budget}\n/ {_unwindowed(f'{hour} > 0')}",
        record=at.EXHAUSTION,
    )


def _burn(service: Service, slos: Slos, windows_: Iterable[str]) -> str:
    budget = at.recorded_of(at.BUDGET, service, slos)
    per = _per_objective(service)
    terms = [
        f"{_unwindowed(at.recorded_of(at.ratio(window), service, slos))} / {per} {budget}"
        for window in windows_
    ]
    quiet = f"0 * {at.recorded_of(at.total(_base(service)), service, slos)}"  # of each group
    never = f"0 * {budget}"
    return "\nor ".join([*terms, quiet]) + f"\nor on ({', '.join(at.identity(service))}) {never}"


def _per_objective(service: Service) -> str:
    """Return how series of groups are matched with the one of their objective."""
    return f"on ({', '.join(at.identity(service))}) group_left ()"


def _ratio_rule(service: Service, slos: Slos, window: str) -> Rule:
    bad, total = (at.recorded_of(base(window), service, slos) for base in (at.bad, at.total))
    return Rule(f"{bad}\n/ ({total} > 0)", record=at.ratio(window), labels={at.LABEL_WINDOW: window})


def _by_window(service: Service, slos: Slos, least: float, below: float) -> Iterator[tuple[str, float, Slos]]:
    """Yield each window of at least so many seconds and below others, with the objectives that have it."""
    of = {slo.name: windows(service, slo) for slo in slos}
    for seconds in sorted({each for found in of.values() for each in found if least <= each < below}):
        yield format_duration(seconds), seconds, [slo for slo in slos if seconds in of[slo.name]]


def _by_calendar(slos: Slos) -> Iterator[tuple[str | None, Slos]]:
    for calendar in dict.fromkeys(slo.period.calendar for slo in slos):
        yield calendar, [slo for slo in slos if slo.period.calendar == calendar]


def _sliced(service: Service, slo: Slo, slices: TimeSlices, window: str) -> tuple[str, str]:
    share = number(slices.seconds / at.INTERVAL)
    source = at.recorded(at.SLICE, service, slo, window)
    return f"count_over_time({source}) / {share}", f"sum_over_time({source}) / {share}"


def _slice_rules(service: Service, slo: Slo, slices: TimeSlices, counts: Counts) -> Iterator[Rule]:
    """Yield whether the slice that ends now is bad. A slice without events is good: time passed, nobody was hurt.

    Of averaged slices: the bad ratio of the slice that ends now; one without events has none.
    """
    labels, length = at.labels(service, slo), format_duration(slices.seconds)
    total, bad = f"{at.SLICE_TOTAL}{length}", f"{at.SLICE_BAD_EVENTS}{length}"
    if counts.instant:
        measured = counts.instant
        if not slices.is_averaged:
            step = format_duration(at.INTERVAL)
            measured = f"avg_over_time(({measured})[{length}:{step}]) > bool {number(slices.limit)}"
        yield Rule(_named_group(measured, slo), record=at.SLICE, labels=labels)
        return
    known = at.recorded(total, service, slo)
    yield Rule(_named_group(counts.total(length), slo), record=total, labels=labels)
    faulty = counts.bad(length, _known(known, slo))
    yield Rule(_named_group(faulty, slo), record=bad, labels=labels)
    measured = f"{at.recorded(bad, service, slo)} / ({known} > 0)"
    if not slices.is_averaged:
        measured = f"{measured} > bool {number(slices.limit)}\nor 0 * {known}"
    yield Rule(measured, record=at.SLICE, labels=labels)


def _unwindowed(selector: str) -> str:
    return f"max without ({at.LABEL_WINDOW}) ({selector})"
