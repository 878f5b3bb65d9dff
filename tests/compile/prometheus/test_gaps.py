"""What time and operations do to the recorded numbers: scrapes and evaluations that do not come, or come at other times.

Beside the rules runs what Sloth's read: the counters themselves, over the window.
"""

import math

import pytest

from slotel.cli.prometheus.api import PrometheusApi
from slotel.compile import conventions as at
from slotel.compile import history
from slotel.compile.prometheus.rules import groups
from support import services
from support.metered import Clock, Metered
from support.promtool import is_left_open
from support.replayed import START, Replayed

HOUR = 3600
SCRAPE, PHASE = 30, 11
OUTAGE = (2 * HOUR + 1800, 2 * HOUR + 2400)
"""Seconds in which every tenth request fails."""
TILE_ENDS = -START % 600 + 2 * HOUR + 2400
LONG = ("2h", "6h", "1d", "30d")


def counters(second: float) -> dict[str, float]:
    begin, end = OUTAGE
    bad = max(0, min(second, end) - begin)
    names = ("good", "bad", "excluded")
    values = (math.floor(10 * second - bad), math.floor(bad), 0)
    return {
        f'slo_events_total{{service_name="shop",slo_name="availability",slo_outcome="{name}"}}': value
        for name, value in zip(names, values, strict=True)
    }


def played(folder, *, unscraped=(0, 0), away=(0, 0), unevaluated=(0, 0), interval=30, hours=4.0):
    """The bad and all events of each long window at the end: as recorded, by the counters, and as a backtest has them."""
    owner = services.one()
    with Replayed(folder, groups(owner)) as prometheus:
        end = int(hours * HOUR)
        agenda = [(second, "scrape") for second in range(PHASE, end, SCRAPE)]
        agenda += [(second, "slotel-slo") for second in range(0, end, interval)]
        agenda += [(second, "slotel-period") for second in range(0, end, 120)]
        was_scraped = True
        for second, what in sorted(agenda):
            moment = START + second
            if away[0] <= second < away[1]:
                continue
            if what != "scrape":
                if not unevaluated[0] <= second < unevaluated[1]:
                    prometheus.evaluate(moment, lambda group, what=what: group.name.startswith(what))
            elif not unscraped[0] <= second < unscraped[1]:
                prometheus.scrape(moment, counters(second))
                was_scraped = True
            elif was_scraped:
                prometheus.scrape(moment, dict.fromkeys(counters(second)))
                was_scraped = False
        last = START + max(second for second, what in agenda if what == "slotel-period")
        recorded, counted = {}, {}
        for window in LONG:
            recorded[window] = [prometheus.value(base(window), last) for base in (at.bad, at.total)]
            counted[window] = [
                prometheus.value(
                    f'sum(increase(slo_events_total{{slo_outcome=~"{outcome}"}}[{window}]))', last
                )
                for outcome in ("bad", "good|bad")
            ]
        clock = history.Clock(START, (last - START) // history.STEP + 1, left_open=is_left_open())
        api = PrometheusApi(prometheus.url)
        past = {
            key: next(iter(api.range(expr, START, clock.length, history.STEP).values()))
            for key, expr in history.direct_queries(owner, owner.slos[0]).items()
        }
        backtest = history.recorded(owner, owner.slos[0], past, clock)
        backtested = {
            window: [side[window][clock.length - 1] for side in (backtest.bad, backtest.total)]
            for window in LONG
        }
        return recorded, counted, backtested


GAPS = {
    "the service cannot be scraped for 5 min": {"unscraped": (OUTAGE[0] + 120, OUTAGE[0] + 420)},
    "Prometheus is away for 15 min": {"away": (OUTAGE[0] - 150, OUTAGE[1] + 150)},
    "an evaluation is missed where a tile ends": {"unevaluated": (TILE_ENDS, TILE_ENDS + 30)},
    "rules are evaluated every minute": {"interval": 60},
    "rules are evaluated every two minutes": {"interval": 120},
    "rules are evaluated every 15 s": {"interval": 15},
    "the service cannot be scraped for 15 min": {"unscraped": (OUTAGE[0] - 150, OUTAGE[1] + 150)},
    "Prometheus is away for 5 min": {"away": (OUTAGE[0] + 120, OUTAGE[0] + 420)},
    "evaluations are missed for 4 min": {"unevaluated": (OUTAGE[1] - 240, OUTAGE[1])},
}
ALWAYS = 4


@pytest.mark.real
@pytest.mark.parametrize(
    "gap",
    [pytest.param(name, marks=[pytest.mark.long] * (index >= ALWAYS)) for index, name in enumerate(GAPS)],
)
def test_windows_of_hours_and_days_have_the_events_of_a_gap(gap, tmp_path):
    recorded, counted, backtested = played(tmp_path, **GAPS[gap])
    for window in LONG:
        (bad, total), (sloths_bad, sloths_total) = recorded[window], counted[window]
        assert bad == pytest.approx(sloths_bad, rel=0.05), window
        assert total == pytest.approx(sloths_total, rel=0.025), window
        if "unscraped" in GAPS[gap]:
            assert backtested[window] == pytest.approx(recorded[window], rel=1e-9), window


@pytest.mark.long
@pytest.mark.real
def test_the_meters_of_two_hosts_have_the_events_of_the_rules_until_one_restarts(tmp_path):
    owner = services.one()
    clock = Clock(float(START))
    hosts = [Metered(clock, owner.slos[0]) for _ in range(2)]
    counted = [dict.fromkeys(("good", "bad", "excluded"), 0) for _ in hosts]
    seen = {}
    with Replayed(tmp_path, groups(owner)) as prometheus:
        for second in range(5400):
            clock.now = START + second
            if second == 4500:
                hosts[0] = Metered(clock, owner.slos[0])
                counted[0] = dict.fromkeys(counted[0], 0)
            for host, (meter, counts) in enumerate(zip(hosts, counted, strict=True)):
                bad = host == 0 and 1800 <= second < 2100
                meter.count(good=5 - bad, bad=int(bad))
                counts["good"], counts["bad"] = counts["good"] + 5 - bad, counts["bad"] + bad
            if second % SCRAPE == PHASE:
                samples = {
                    f'slo_events_total{{service_name="shop",slo_name="availability",slo_outcome="{name}",instance="{host}"}}': value
                    for host, counts in enumerate(counted)
                    for name, value in counts.items()
                }  # fmt: skip
                prometheus.scrape(START + second, samples)
            if second % 30 == 0:
                prometheus.evaluate(START + second, lambda group: group.name.startswith("slotel-slo"))
            if second in {4470, 5370}:
                rules = [prometheus.value(base("1h"), START + second) for base in (at.bad, at.total)]
                seen[second] = (
                    rules,
                    [sum(sides) for sides in zip(*(host.seen() for host in hosts), strict=True)],
                )
    rules, meters = seen[4470]
    assert rules == pytest.approx(meters, rel=0.02)
    rules, meters = seen[5370]
    assert rules[0] == pytest.approx(300, rel=0.02)  # the rules have those of before
    assert meters[0] == 0
