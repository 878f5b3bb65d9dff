"""The recorded numbers against brute-force arithmetic on random histories, evaluated by Prometheus' own engine.

Windows up to an hour are `increase()` of the counters. Brute force does what Prometheus documents of it, scrape by
scrape, and must agree to 1e-9. Prometheus 2 has both ends of a range in it, so at scrapes every 30 s a window of 5 min
holds exactly its events, and brute force over the events must agree, too. Prometheus 3 leaves the first instant out: it
sees one step less, extrapolates over it, and does not extrapolate a counter below zero; so just after a counter began,
good and bad events are scaled by up to (steps)/(steps − 1) apart.

A longer window is the last hour and a sum of the recorded base window, so of windows that are shifted by up to five
minutes; a day and more, and the period, are sums of tiles, which begin at the clock's ten minutes. So brute force gives
an interval, and the recorded ratio must lie in it.
"""

import random
from dataclasses import dataclass
from itertools import accumulate, pairwise

import pytest

from slotel.compile import conventions as at
from slotel.compile.prometheus.rules import groups
from slotel.compile.promql import equal, series
from slotel.compile.yaml_file import yaml_lines
from slotel.config.duration import format_duration
from support import services
from support.promtool import is_left_open, run_tests, write

STEP = 30
HOURS = 27
STEPS = HOURS * 120
NAMES = ("bursty", "rare", "restarting")
LIMIT = 0.01


@dataclass
class History:
    """Increments of good and bad events per step, and the steps at which the counters began again."""

    good: list[int]
    bad: list[int]
    restarts: set[int]

    def counts(self, begin: int, end: int) -> tuple[int, int]:
        """Bad and all events in the steps (begin, end]."""
        part = slice(max(begin, 0) + 1, max(end, 0) + 1)
        bad = sum(self.bad[part])
        return bad, bad + sum(self.good[part])

    def numbers(self, which: str) -> list[int]:
        """The counter at each step."""
        found, value = [], 0
        for step, increment in enumerate(getattr(self, which)):
            value = increment if step in self.restarts else value + increment
            found.append(value)
        return found

    def values(self, which: str) -> str:
        return " ".join(map(str, self.numbers(which)))


def random_history(seed: int, kind: str) -> History:
    source = random.Random(f"{seed}/{kind}")
    good, bad = [0], [0]
    while len(good) <= STEPS:
        rate = source.choice(
            [0, 0, 0.02] if kind == "rare" else [0, 3, 40, 400] if kind == "bursty" else [50]
        )
        share = source.choice([0, 0, 0.001, 0.02, 0.3, 1])
        for _ in range(source.randint(1, 120)):
            events = int(rate) or int(source.random() < rate)
            faulty = sum(source.random() < share for _ in range(events))
            good.append(events - faulty)
            bad.append(faulty)
    history = History(good[: STEPS + 1], bad[: STEPS + 1], set())
    if kind == "restarting":
        last = 0
        for step in sorted(source.sample(range(200, STEPS), 6)):
            # Prometheus sees a restart only where the counter falls
            if step - last > 40 and all(
                sum(line[last:step]) > line[step] for line in (history.good, history.bad)
            ):
                history.restarts.add(step)
                last = step
    return history


def summed_interval(history: History, end: int, window: int) -> tuple[float, float] | None:
    """The bounds of a ratio over the last hour and a sum of base windows before it: of the first five minutes of
    that sum, and of those at its end, a part of the events is in it; none counts twice."""
    sure = [history.counts(end - window + 1, end - 131), history.counts(end - 119, end)]
    sure_bad, sure_all = (sum(each) for each in zip(*sure, strict=True))
    most_bad, most_all = history.counts(end - window - 11, end)
    if not sure_all:
        return None
    most_good, sure_good = most_all - most_bad, sure_all - sure_bad
    return sure_bad / max(sure_bad + most_good, 1), most_bad / max(most_bad + sure_good, 1)


def increase(values: list[int], step: int, steps: int, *, left_open: bool) -> float | None:
    """`increase()` of a counter over so many steps, as Prometheus documents it; None without two scrapes."""
    first = max(step - steps + left_open, 0)
    seen = values[first : step + 1]
    if len(seen) < 2:
        return None
    grown = float(sum(after if after < before else after - before for before, after in pairwise(seen)))
    sampled = float(len(seen) - 1)
    before_first = float(first - (step - steps))
    if before_first > 1.1:
        before_first = 0.5
    if grown > 0:  # a counter is not extrapolated below zero
        before_first = min(before_first, sampled * seen[0] / grown)
    return grown * (sampled + before_first) / sampled


def direct(history: History, step: int, steps: int, *, left_open: bool) -> float | None:
    """The ratio of a window up to an hour; None if there is none."""
    bad, good = (
        increase(history.numbers(which), step, steps, left_open=left_open) for which in ("bad", "good")
    )
    if bad is None or good is None or bad + good == 0:
        return None
    return bad / (bad + good)


def tiled_interval(history: History, end: int, window: int) -> tuple[float, float] | None:
    """The bounds of a ratio over tiles: of the events at the window's begin some are not in it, and those of the
    last minutes not yet; none counts twice."""
    sure = history.counts(end - window + 61, end - 31)
    maybe = history.counts(end - window - 31, end)
    low_bad, high_bad = sure[0], maybe[0]
    low_good = sure[1] - sure[0]
    high_good = maybe[1] - maybe[0]
    if not low_good + low_bad:
        return None
    return low_bad / (low_bad + high_good), high_bad / (high_bad + low_good)


def expectations(history: History, slo, owner, times):
    left_open = is_left_open()
    for step in times:
        for seconds in at.DIRECT:
            recorded, steps = (
                at.recorded(at.ratio(format_duration(seconds)), owner, slo),
                int(seconds) // STEP,
            )
            ratio = direct(history, step, steps, left_open=left_open)
            if ratio is None:
                yield {"expr": recorded, "eval_time": f"{step * STEP}s", "exp_samples": []}
                continue
            yield _within(recorded, step, ratio, ratio)
            bad, total = history.counts(step - steps + left_open, step)
            apart = 1 - left_open / steps
            yield _within(recorded, step, bad / total * apart, bad / total / apart)
        for seconds in at.SUMMED:
            steps = int(seconds) // STEP
            if bounds := summed_interval(history, step, steps):
                apart = 1 - left_open * STEP / at.BASE
                recorded = at.recorded(at.ratio(format_duration(seconds)), owner, slo)
                yield _within(recorded, step, bounds[0] * apart, bounds[1] / apart)
        for window, steps in (("1d", 2880), ("3d", 8640), ("30d", 86400)):
            if bounds := tiled_interval(history, step, steps):
                apart = 1 - left_open * STEP / at.BASE
                low, high = bounds[0] * apart, bounds[1] / apart
                yield _within(at.recorded(at.ratio(window), owner, slo), step, low, high)
                if window == "30d":
                    left = at.recorded(at.REMAINING, owner, slo)
                    yield _within(left, step, 1 - high / LIMIT, 1 - low / LIMIT)


def _within(expr, step, low, high):
    slack = 1e-9 * (1 + abs(high))
    inside = f"sum(({expr} >= bool {low - slack!r}) * ({expr} <= bool {high + slack!r}))"
    return {"expr": inside, "eval_time": f"{step * STEP}s", "exp_samples": [{"labels": "{}", "value": 1}]}


def records_only(owner):
    """The rules without their alerts, which would only cost time here."""
    for group in groups(owner):
        document = group.document()
        document["rules"] = [rule for rule in document["rules"] if "record" in rule]
        yield document


def run(tmp_path, owner, tests, order=1):
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{STEP}s", "tests": tests}
    rules = {"groups": list(records_only(owner))}
    document["group_eval_order"] = [group["name"] for group in rules["groups"]][::order]
    files = {"prometheus/rules.yaml": rules, "prometheus/rules.test.yaml": document}
    directory = write(tmp_path, {path: "\n".join(yaml_lines(content)) for path, content in files.items()})
    passed, output = run_tests(directory)
    assert passed, output[:4000]


def inputs(histories):
    return [
        {
            "series": series(
                "slo_events_total", equal({"service_name": "shop", "slo_name": name, "slo_outcome": which})
            ),
            "values": history.values(which),
        }
        for name, history in histories.items()
        for which in ("good", "bad")
    ]


@pytest.mark.real
@pytest.mark.parametrize("seed", [1])
def test_recorded_ratios_are_those_of_brute_force_on_random_histories(seed, tmp_path):
    owner = services.service(
        "service: shop\nslos:\n" + "".join(f"  - {{name: {name}, objective: 99%}}\n" for name in NAMES)
    )
    histories = {name: random_history(seed, name) for name in NAMES}
    source = random.Random(seed)
    times = sorted(source.sample(range(20, STEPS), 16))
    expected = [test for slo in owner.slos for test in expectations(histories[slo.name], slo, owner, times)]
    assert len(expected) > 150
    run(
        tmp_path,
        owner,
        [{"interval": f"{STEP}s", "input_series": inputs(histories), "promql_expr_test": expected}],
    )


@pytest.mark.real
def test_the_period_weighs_by_traffic_and_not_by_time(tmp_path):
    """Quiet hours in which most events fail, and a busy one in which none does: an average of ratios says 40 %."""
    owner = services.one(name="steady")
    quiet, busy = [int(step % 10 == 0) for step in range(480)], [2000] * 120
    history = History([0] * 480 + busy, quiet + [0] * 120, set())
    truth = sum(quiet) / (sum(quiet) + sum(busy))
    assert truth < 0.001
    end = {"eval_time": f"{599 * STEP}s", "exp_samples": [{"labels": "{}", "value": 1}]}
    tests = [
        {"expr": f"sum({at.recorded(at.ratio('30d'), owner, owner.slos[0])} < bool 0.001)", **end},
        {
            "expr": f"sum(avg_over_time({at.recorded(at.ratio('5m'), owner, owner.slos[0], '30d')}) > bool 0.4)",
            **end,
        },
    ]
    run(
        tmp_path,
        owner,
        [{"interval": f"{STEP}s", "input_series": inputs({"steady": history}), "promql_expr_test": tests}],
    )


@pytest.mark.real
def test_a_window_longer_than_a_services_age_holds_all_of_its_events(tmp_path):
    """Else the page of a service that is minutes old waits for a sum: two minutes longer than Sloth's."""
    owner = services.one(name="young")
    history = History([0] + [20] * 36 + [0] * 60, [0] * 37 + [20] * 60, set())
    tests = [
        {
            "expr": f"sum({at.recorded(side(long), owner, owner.slos[0])} == bool "
            f"{at.recorded(side('1h'), owner, owner.slos[0])})",
            "eval_time": f"{step * STEP}s",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for long in map(format_duration, at.SUMMED)
        for side in (at.bad, at.total)
        for step in (20, 38, 45, 90)
    ]
    run(
        tmp_path,
        owner,
        [{"interval": f"{STEP}s", "input_series": inputs({"young": history}), "promql_expr_test": tests}],
    )


BURST = 4
"""Steps with bad events: two minutes."""
BEGINS = [(173, 179, 180), pytest.param((160, 176, 178), marks=pytest.mark.long)]
"""Steps at which they begin: before, across and at the edge of a tile."""


@pytest.mark.real
@pytest.mark.parametrize("begins", BEGINS, ids=str)
@pytest.mark.parametrize("order", [1, -1], ids=["period group last", "period group first"])
def test_no_event_of_a_day_counts_twice_at_a_tile_whichever_group_runs_first(order, begins, tmp_path):
    """Two bad minutes of ten, at every place in a tile: a day's count is never above them, and all of them at last."""
    owner = services.one(name="burst")
    tests = []
    least = (
        36.0 if is_left_open() else 40.0
    )  # Prometheus 3 extrapolates no first error below zero: decision 0088
    for begin in begins:
        history = History([10] * 260, [10 * (begin <= step < begin + BURST) for step in range(260)], set())
        counted = []
        for window in ("1d", "30d"):
            bad = at.recorded(at.bad(window), owner, owner.slos[0])
            counted += [_within(bad, step, 0, 40.0) for step in range(begin, begin + 60)]
            counted += [_within(bad, step, least, 40.0) for step in range(begin + 20, begin + 60, 5)]
        series_ = inputs({"burst": history})
        tests.append({"interval": f"{STEP}s", "input_series": series_, "promql_expr_test": counted})
    run(tmp_path, owner, tests, order)


def test_the_random_histories_hold_what_they_promise():
    histories = {name: random_history(1, name) for name in NAMES}
    assert histories["restarting"].restarts
    assert max(accumulate(histories["rare"].good)) < 100
    assert 0 in histories["bursty"].good
