"""prometheus/rules.test.yaml: histories and what the rules must make of them, for `promtool test rules`.

Each history is one test that holds every objective at once: promtool evaluates all rules in each test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from slotel.compile import conventions as at
from slotel.compile.prometheus import histories as h
from slotel.compile.prometheus.alerts import (
    ABSENT,
    EXHAUSTED,
    LIMIT,
    burn_labels,
    burn_name,
    limit_labels,
    severity_labels,
)
from slotel.compile.prometheus.example_series import example_series
from slotel.compile.prometheus.rules import groups
from slotel.compile.promql import number
from slotel.compile.yaml_file import yaml_file
from slotel.config.duration import format_duration
from slotel.config.foreign.promql import UnsupportedQueryError
from slotel.config.service import Service
from slotel.config.slo import DAY, MIN_BAD_EVENTS, BurnRateAlert, Slo, holds_enough

PATH: Final = "prometheus/rules.test.yaml"

RATE: Final = 600.0
"""Events in a step: 20 a second, or what makes enough bad ones of an objective's limit; `_rate` has it."""
CALM: Final = 30
"""Minutes of good traffic before an outage."""
LONGEST: Final = 1500
"""Steps of a history at most: promtool takes some milliseconds for each."""
OUTAGE: Final = 10
"""Minutes of an outage that ends."""


def files(service: Service) -> Mapping[str, str]:
    """Return the test file of a service's rules by its path.

    Raises:
        ValueError: an objective cannot be counted from the chosen source.
    """
    without = untested(service)
    slos = [slo for slo in service.slos if slo.name not in without]
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{h.STEP}s",
        "group_eval_order": [group.name for group in groups(service)],  # else promtool takes any order
        "tests": [test for together in _apart(service, slos) for test in _tests(service, together)],
    }
    notes = [f"No histories for {sentence}" for sentence in without.values()]
    return {PATH: yaml_file(service, "Tests (promtool test rules rules.test.yaml)", document, notes)}


def untested(service: Service) -> dict[str, str]:
    """Return the objectives without histories: the name of each, and a sentence that says why."""
    found = {}
    for slo in service.slos:
        if slo.slices is not None and slo.slices.is_averaged:
            found[slo.name] = f"'{slo.name}': its time slices are averaged"
            continue
        if any("{{" in text for text in _own_labels(slo)):
            found[slo.name] = f"'{slo.name}': labels of its alerts are templates"
            continue
        try:
            if slo.queries is not None:
                example_series(slo.queries)
        except UnsupportedQueryError as error:
            found[slo.name] = f"'{slo.name}': the series that its queries count could not be told ({error})"
    return found


def _own_labels(slo: Slo) -> Iterator[str]:
    if slo.alerting is not None:
        for labels in (slo.alerting.labels, slo.alerting.page.labels, slo.alerting.ticket.labels):
            yield from labels.values()


def _apart(service: Service, slos: Sequence[Slo]) -> list[Sequence[Slo]]:
    """Objectives that read the same series are tested one by one: one's errors are another's."""
    own = [slo for slo in slos if slo.queries is None and service.monitoring.source == "slo_events"]
    return [*([own] if own else []), *([slo] for slo in slos if slo not in own)]


def detection(slo: Slo, alert: BurnRateAlert, calm: float) -> float:
    """Return seconds from the begin of a total outage, after `calm` seconds of good traffic, to the alert's threshold.

    A window that is longer than the history holds only the history, as Prometheus does.
    """
    share = alert.burn_rate(slo.period.seconds) * slo.limit
    return max(min(share * window, share * calm / (1 - share)) for window in (alert.long, alert.short))


def _tests(service: Service, slos: Sequence[Slo]) -> Iterator[h.Test]:
    yield _outage(service, slos)
    name = "slow burn: a ticket, and nobody is woken"
    yield _steady(service, slos, name, _slow_burn, lambda slo, minute: _a_ticket(service, slo, minute))
    yield from (each for slo in slos for each in _slow_burn_of_slices(service, slo))
    yield _steady(
        service,
        slos,
        "over the limit in its window",
        _over,
        lambda slo, minute: [h.firing(LIMIT, _in_group(slo, limit_labels(service, slo)), minute)],
    )
    yield _steady(
        service,
        slos,
        "under the limit: silence",
        _under,
        lambda slo, minute: [h.none(h.alerts(service, slo), minute)],
    )
    yield _no_error_ever(service, slos)
    yield _silence(service, slos)
    yield _one_error(service, slos)
    yield _restart(service, slos)
    yield _recovery(service, slos)
    yield _absence(service, slos)
    if service.monitoring.source == "slo_events" and all(slo.queries is None for slo in slos):
        yield _matches_nothing(service, slos)


def _outage(service: Service, slos: Sequence[Slo]) -> h.Test:
    expected, end, calm = [], 0, _calm(service)
    slow = 180 + at.base(service)
    for slo in slos:
        expected.append(h.none(h.alerts(service, slo), calm))
        for alert in _alerting(service, slo):
            lag = 180 if alert.long < DAY else slow
            seen = _minute(slo, calm, detection(slo, alert, calm * 60), lag)
            expected.append(h.firing(burn_name(slo), _in_group(slo, burn_labels(service, slo, alert)), seen))
            end = max(end, seen)
        spent = _minute(slo, calm, slo.limit * calm * 60 / (1 - slo.limit), slow)
        if not slo.disables("ticket"):
            labels = severity_labels(service, slo, "ticket")
            expected.append(h.firing(EXHAUSTED, _in_group(slo, labels), spent))
        end = max(end, spent)
    phases = (h.Phase(calm * 2, good=RATE), h.Phase((end - calm) * 2, bad=RATE))
    name = "total outage: every alert fires in its time (for latency: every event is too slow), the budget is spent"
    return h.history(name, h.input_series(service, slos, phases), expected)


def _rate(service: Service, slo: Slo) -> float:
    """Return events in a step: at the limit, twice as many are bad in a window as an alert needs."""
    steps = min(at.limit_window(service, slo) / h.STEP, CALM * 2)
    return max(RATE, math.ceil(2 * MIN_BAD_EVENTS / (slo.limit * steps)))


def _alerting(service: Service, slo: Slo) -> list[BurnRateAlert]:
    """Return the burn-rate alerts that are written."""
    return [alert for alert in at.burn_rate_alerts(service, slo) if not slo.disables(alert.severity)]


def _in_group(slo: Slo, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of an alert with those of the group that the example series are of."""
    group = example_series(slo.queries).group if slo.queries is not None else {}
    name = {at.LABEL_GROUP: ",".join(group.values())} if group else {}
    return {**group, **name, **labels}


def _calm(service: Service) -> int:
    """Return the minutes of good traffic before an outage: in sums an event counts in full after the base window."""
    return max(CALM, round(at.base(service) / 60) + 15)


def _minute(slo: Slo, calm: int, outage: float, lag: float) -> int:
    """Return the minute by which seconds of an outage must have been seen: scrape, evaluation, summed windows lag."""
    return calm + math.ceil((max(outage, _enough(slo)) + lag) / 60)


def _enough(slo: Slo) -> float:
    """Return the seconds in which enough time slices are bad, and the last of them is over; 0 for events."""
    return (MIN_BAD_EVENTS + 1) * slo.slices.seconds if slo.slices is not None else 0.0


def _steady(
    service: Service,
    slos: Sequence[Slo],
    name: str,
    share: Callable[[Service, Slo], float | None],
    expect: Callable[[Slo, int], list[h.Test]],
) -> h.Test:
    """Let every objective that has a share of bad events have it all the time."""
    shares = [(slo, chosen) for slo in slos if (chosen := share(service, slo)) is not None]
    long = (math.ceil((_enough(slo) + 480) / 60) for slo, _ in shares if slo.slices is not None)
    minutes = max([_calm(service), *long])
    inputs, expected = [], []
    for slo, chosen in shares:
        rate = _rate(service, slo)
        bad = rate * chosen
        inputs += h.input_series(service, [slo], (h.Phase(minutes * 2, good=rate - bad, bad=bad),))
        expected += expect(slo, minutes)
    return h.history(name, inputs, expected)


def _slow_burn(service: Service, slo: Slo) -> float | None:
    """Between the lowest alert and the one above; a time slice is wholly good or bad, it has no steady share."""
    return None if slo.slices is not None or not _alerting(service, slo) else _slow_share(service, slo)


def _slow_share(service: Service, slo: Slo) -> float:
    burns = sorted({alert.burn_rate(slo.period.seconds) for alert in _alerting(service, slo)})
    above = burns[1] if len(burns) > 1 else min(burns[0] * 2, 1 / slo.limit)
    return math.sqrt(burns[0] * above) * slo.limit


def _slow_burn_of_slices(service: Service, slo: Slo) -> Iterator[h.Test]:
    """Six bad slices, so long after and before good ones that only the lowest alert is reached at the end.

    None for slices of more than some minutes, whose history would be days long, for an objective of half the slices,
    whose history would be some minutes long, or where two alerts are close.
    """
    if slo.slices is None or not _alerting(service, slo):
        return
    share, alert = _slow_share(service, slo), _lowest(service, slo)
    length = math.ceil(slo.slices.seconds / h.STEP)
    # of the slices that reach over an end of the outage, looked at every half minute, some are bad, too
    bad = (MIN_BAD_EVENTS + 1) * length
    steps = round((MIN_BAD_EVENTS + 1 + (1 - 2 * slo.slices.limit) / 2) / share) * length
    after = min((steps - bad) // 2, int(alert.short / h.STEP) - 2 * bad)
    burns = sorted({each.burn_rate(slo.period.seconds) for each in _alerting(service, slo)})
    is_too_short = steps * h.STEP < 2 * at.base(service)  # sums have not all of it yet
    if is_too_short or steps > LONGEST or after < 0 or (len(burns) > 1 and burns[1] < burns[0] * 1.5):
        return
    phases = (h.Phase(steps - bad - after, good=RATE), h.Phase(bad, bad=RATE), h.Phase(after, good=RATE))
    name = "slow burn of time slices: a ticket, and nobody is woken"
    expected = _a_ticket(service, slo, steps * h.STEP // 60)
    yield h.history(name, h.input_series(service, [slo], phases), expected)


def _over(service: Service, slo: Slo) -> float | None:
    if slo.alerting is not None or not holds_enough(slo, at.limit_window(service, slo)):
        return None
    return 1.0 if slo.slices is not None else min(1.2 * slo.limit, 1.0)


def _under(_: Service, slo: Slo) -> float:
    return 0.5 * (slo.slices.limit if slo.slices is not None else slo.limit)


def _a_ticket(service: Service, slo: Slo, minute: int) -> list[h.Test]:
    alert = _lowest(service, slo)
    page = h.alerts(service, slo, burn_name(slo), sloth_severity="page")
    pages = [each for each in _alerting(service, slo) if each.severity == "page"]
    burn = (
        _slow_share(service, slo) / slo.limit
    )  # in a period of some days a page burns as slowly as a ticket
    wakes = any(each.burn_rate(slo.period.seconds) < burn for each in pages)
    return [
        h.firing(burn_name(slo), _in_group(slo, burn_labels(service, slo, alert)), minute),
        *([] if wakes else [h.none(page, minute)]),
    ]


def _lowest(service: Service, slo: Slo) -> BurnRateAlert:
    return min(_alerting(service, slo), key=lambda alert: (alert.burn_rate(slo.period.seconds), -alert.long))


def _no_error_ever(service: Service, slos: Sequence[Slo]) -> h.Test:
    """Not even a series of errors exists."""
    expected = []
    for slo in slos:
        ratios = (_base_ratio(service), at.ratio("6h"), at.ratio(at.period_name(slo)), at.BURN_NOW)
        expected += [h.total(at.recorded(record, service, slo), 0, CALM) for record in ratios]
        expected += [
            h.total(at.recorded(at.REMAINING, service, slo), 1, CALM),
            h.none(h.alerts(service, slo), CALM),
        ]
    name = "no error ever: the SLI is there, and it is 0"
    phases = (h.Phase(CALM * 2, good=RATE),)
    return h.history(name, h.input_series(service, slos, phases, errors_exist=False), expected)


def _base_ratio(service: Service) -> str:
    return at.ratio(format_duration(at.base(service)))


def _silence(service: Service, slos: Sequence[Slo]) -> h.Test:
    """Traffic, then none: when the base window is over there is no ratio, and nothing that is not a number."""
    silent = max(CALM, round(at.base(service) / h.STEP) + 10)
    expected, end = [], (CALM + silent) // 2
    for slo in slos:
        if slo.slices is None:  # a slice without events is a good slice
            expected.append(h.none(at.recorded(_base_ratio(service), service, slo), end))
        expected += [
            h.total(at.recorded(at.BURN_NOW, service, slo), 0, 0),
            h.total(at.recorded(at.BURN_NOW, service, slo), 0, end),
            h.total(at.recorded(at.REMAINING, service, slo), 1, end),
            h.none(h.alerts(service, slo), end),
        ]
    phases = (h.Phase(CALM, good=RATE), h.Phase(silent))
    name = "silence: no ratio, no burn, all of the budget"
    return h.history(name, h.input_series(service, slos, phases), expected)


def _one_error(service: Service, slos: Sequence[Slo]) -> h.Test:
    expected = [h.none(h.alerts(service, slo), minute) for slo in slos for minute in (31, 35, 60)]
    phases = (h.Phase(60, good=0.5), h.Phase(1, bad=1), h.Phase(59, good=0.5))
    name = "one error at one event a minute: no alert"
    return h.history(name, h.input_series(service, slos, phases), expected)


def _restart(service: Service, slos: Sequence[Slo]) -> h.Test:
    """Every counter falls to 0; the events of a window are neither lost nor counted twice."""
    expected = []
    for slo in slos:
        expected += [h.none(h.alerts(service, slo), minute) for minute in (CALM + 1, CALM + 5, 2 * CALM)]
        events = at.recorded(at.total("1h"), service, slo)
        if slo.slices is None:
            expected.append(h.total(f"round({events} / {number(RATE * 120)}, 0.1)", 1, 2 * CALM))
        expected.append(h.total(at.recorded(at.ratio("1h"), service, slo), 0, 2 * CALM))
    phases = (h.Phase(2 * CALM, good=RATE), h.Phase(2 * CALM, good=RATE, restart=True))
    name = "a worker restarts: its counters begin again, the ratio does not move"
    return h.history(name, h.input_series(service, slos, phases), expected)


def _recovery(service: Service, slos: Sequence[Slo]) -> h.Test:
    """The short windows end an alert: half an hour after the last bad event it does not fire."""
    end = CALM + OUTAGE
    shortest = max(CALM, round(at.base(service) / 60))
    expected = [
        h.none(h.alerts(service, slo, burn_name(slo), sloth_severity="page"), end + shortest + 7)
        for slo in slos
    ]
    phases = (
        h.Phase(CALM * 2, good=RATE),
        h.Phase(OUTAGE * 2, bad=RATE),
        h.Phase(shortest * 2 + 20, good=RATE),
    )
    name = f"recovery: no page once the short windows have passed an outage of {OUTAGE}m"
    return h.history(name, h.input_series(service, slos, phases), expected)


def _absence(service: Service, slos: Sequence[Slo]) -> h.Test:
    expected = []
    for slo in slos:
        if slo.disables("page") and slo.disables("ticket"):
            continue
        labels = {**severity_labels(service, slo, "ticket"), "reason": "absent"}
        silent = h.none(h.alerts(service, slo, ABSENT, alertstate="firing"), 8)
        expected += [silent, h.firing(ABSENT, labels, 12)]
    return h.history("absence: the metric is not there", [], expected)


def _matches_nothing(service: Service, slos: Sequence[Slo]) -> h.Test:
    expected = []
    for slo in slos:
        labels = {**severity_labels(service, slo, "ticket"), "reason": "empty"}
        expected.append(h.firing(ABSENT, labels, 75))
    inputs = h.input_series(service, slos, (h.Phase(160),))
    name = "a selection that matches nothing: the service has traffic, the objective no event"
    return h.history(name, [*inputs, *h.traffic(service, slos, 160)], expected)
