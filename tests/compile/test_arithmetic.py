"""The recorded numbers against brute-force arithmetic on random histories, evaluated by Prometheus' own engine.

A recorded window is the sum of windows that are shifted by up to five minutes (the base window that long windows
are summed from), and a ratio of sums lies between the least and the greatest of the ratios summed. So brute force
gives an interval, and the recorded ratio must lie in it; windows up to an hour are not shifted, and must be exact.
"""

import random
from dataclasses import dataclass
from itertools import accumulate

import pytest

import services
from promtool import is_left_open, run_tests, write
from slotel.compile import conventions as at
from slotel.compile.promql import equal, series, yaml_lines
from slotel.compile.rules import groups
from slotel.model.duration import format_duration

STEP = 30
HOURS = 7
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

    def values(self, which: str) -> str:
        increments, found, value = getattr(self, which), [], 0
        for step, increment in enumerate(increments):
            value = increment if step in self.restarts else value + increment
            found.append(str(value))
        return " ".join(found)


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


def interval(history: History, end: int, window: int, shift: int) -> tuple[float, float] | None:
    """The least and the greatest ratio over windows of this length (in steps, give or take one) that end up to
    `shift` steps earlier; None if one of them has no events."""
    ratios = []
    for length in (window - 1, window, window + 1):
        for back in range(shift + 1):
            bad, total = history.counts(end - back - length, end - back)
            if not total:
                return None
            ratios.append(bad / total)
    return min(ratios), max(ratios)


def period_interval(history: History, end: int) -> tuple[float, float] | None:
    """The bounds of the period's ratio: the events of the last 15 minutes may count up to twice, or not yet."""
    bad, total = history.counts(0, end)
    new_bad, new = history.counts(end - 31, end)
    if total <= new:
        return None
    return (bad - new_bad) / (total + new), (bad + new_bad) / (total - new)


def expectations(history: History, slo, owner, times):
    for step in times:
        for seconds in (*at.DIRECT, *at.SUMMED):
            window = format_duration(seconds)
            length = int(seconds) // STEP
            recorded = at.recorded(at.ratio(window), owner, slo)
            if seconds in at.DIRECT and not is_left_open():
                bad, total = history.counts(step - length, step)
                if total:
                    yield _within(recorded, step, bad / total, bad / total)
                else:
                    yield {"expr": recorded, "eval_time": f"{step * STEP}s", "exp_samples": []}
            elif bounds := interval(history, step, length, 10 if seconds in at.SUMMED else 0):
                yield _within(recorded, step, *bounds)
        if bounds := period_interval(history, step):
            yield _within(at.recorded(at.ratio("30d"), owner, slo), step, *bounds)
            yield _within(
                at.recorded(at.REMAINING, owner, slo), step, 1 - bounds[1] / LIMIT, 1 - bounds[0] / LIMIT
            )


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


def run(tmp_path, owner, tests):
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{STEP}s", "tests": tests}
    rules = {"groups": list(records_only(owner))}
    document["group_eval_order"] = [group["name"] for group in rules["groups"]]
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
    if is_left_open():
        pytest.skip(
            "Prometheus 3 sees one scrape less in a window and extrapolates: no exact arithmetic to compare"
        )
    owner = services.service(
        "service: shop\nslos:\n" + "".join(f"  - {{name: {name}, objective: 99%}}\n" for name in NAMES)
    )
    histories = {name: random_history(seed, name) for name in NAMES}
    source = random.Random(seed)
    times = sorted(source.sample(range(20, STEPS), 12))
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


def test_the_random_histories_hold_what_they_promise():
    histories = {name: random_history(1, name) for name in NAMES}
    assert histories["restarting"].restarts
    assert max(accumulate(histories["rare"].good)) < 100
    assert 0 in histories["bursty"].good
