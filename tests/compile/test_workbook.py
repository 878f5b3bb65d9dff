"""The alerts as they are evaluated (every 30 s, long windows summed, days from tiles) against the SRE workbook's arithmetic."""

import math
import random
from dataclasses import dataclass

import pytest

from slotel.compile import conventions as at
from slotel.compile.explanation import budget_spent, detection_time
from slotel.config.slo import BURN_RATE_ALERTS, DAY, HOUR, MINUTE, Slo
from support import services

SLO = Slo("availability", limit=0.001, objective=0.999)
SCRAPE = 15.0
TICK = at.INTERVAL
OUTAGES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
NAIVE_WINDOW = 10 * MINUTE
"""The workbook's first approach: alert when the error rate of ten minutes exceeds the limit."""


@dataclass(frozen=True)
class Outage:
    """So large a share of the events is bad for so many seconds, after a month without a bad event."""

    ratio: float
    seconds: float

    @property
    def spent(self) -> float:
        return budget_spent(SLO, self.ratio, self.seconds)

    def bad(self, end: float, window: float) -> float:
        """The share of bad events in the window that ends at `end` seconds after the outage began."""
        overlap = min(end, self.seconds) - max(end - window, 0)
        return self.ratio * max(overlap, 0) / window

    def recorded(self, end: float, window: float) -> float:
        """The same as the rules record it: the last scrape is up to 15 s old, a long window is a sum of shifted ones,
        and one of a day or more a sum of tiles, looked at every two minutes."""
        if window <= HOUR:
            return self.bad(end - SCRAPE, window)
        if window < DAY:
            return self.shifted(end, window)
        settled = end // at.PERIOD_INTERVAL * at.PERIOD_INTERVAL - TICK
        last = settled // at.TILE * at.TILE  # the outage begins with a tile
        tiles, since = window - at.TILE, settled - last
        rest = self.shifted(settled, since) * since if since else 0.0
        return (self.shifted(last, tiles) * tiles + rest) / (tiles + since)

    def shifted(self, end: float, window: float) -> float:
        """The mean of the windows of which a sum of the base window is made."""
        shifts = int(at.BASE // TICK)
        return sum(self.bad(end - SCRAPE - shift * TICK, window) for shift in range(shifts)) / shifts

    def fires(self, alert, end: float) -> bool:
        threshold = alert.burn_rate(SLO.period.seconds) * SLO.limit
        return all(self.recorded(end, window) > threshold for window in (alert.long, alert.short))

    def detected(self, alert) -> float | None:
        """Seconds until the first evaluation at which the alert fires; None if it never does."""
        earliest = detection_time(SLO, alert, self.ratio)
        if earliest is None:
            return None
        tick = math.floor(earliest / TICK) * TICK
        while tick <= self.seconds + at.BASE + at.TILE + SCRAPE:
            if self.fires(alert, tick):
                return tick
            tick += TICK
        return None

    def reset(self, alert) -> float | None:
        """Seconds from the end of the outage to the first evaluation at which the alert is silent."""
        if self.detected(alert) is None:
            return None
        tick = math.ceil(self.seconds / TICK) * TICK
        while self.fires(alert, tick):
            tick += TICK
        return tick - self.seconds


def test_each_tier_fires_when_the_workbook_says_or_a_window_step_later():
    for ratio in OUTAGES:
        for alert in BURN_RATE_ALERTS:
            ideal = detection_time(SLO, alert, ratio)
            found = Outage(ratio, 4 * DAY).detected(alert)
            if ideal is None:
                assert found is None
                continue
            late = SCRAPE + TICK + (0 if alert.long <= HOUR else at.BASE)
            late += at.TILE + at.PERIOD_INTERVAL if alert.long >= DAY else 0
            early = ideal * at.TILE / alert.long if alert.long >= DAY else 0  # up to a tile less than a day
            assert ideal - early < found <= ideal + late, (ratio, alert, ideal, found)


def test_the_workbooks_numbers_for_a_total_outage():
    assert [detection_time(SLO, alert, 1.0) for alert in BURN_RATE_ALERTS] == [51.84, 129.6, 259.2, 259.2]
    spent = [budget_spent(SLO, 1.0, detection_time(SLO, alert, 1.0)) for alert in BURN_RATE_ALERTS]
    assert spent == pytest.approx([0.02, 0.05, 0.10, 0.10])


def test_an_alert_ends_with_its_short_window():
    for ratio in (0.02, 0.1, 1.0):
        for alert in BURN_RATE_ALERTS:
            late = SCRAPE + TICK + (0 if alert.short <= HOUR else at.BASE)
            assert Outage(ratio, 4 * DAY).reset(alert) <= alert.short + late


def random_outages(count: int = 3000) -> list[Outage]:
    source = random.Random(5)
    return [
        Outage(10 ** source.uniform(-3, 0), 60 * 10 ** source.uniform(0, math.log10(1440)))
        for _ in range(count)
    ]


def precision_and_recall(fires, significant, outages) -> tuple[float, float]:
    fired = [outage for outage in outages if fires(outage)]
    right = [outage for outage in fired if significant(outage)]
    meant = [outage for outage in outages if significant(outage)]
    return len(right) / len(fired), len(right) / len(meant)


def pages(outage: Outage) -> bool:
    return any(outage.detected(alert) is not None for alert in BURN_RATE_ALERTS if alert.severity == "page")


def naive(outage: Outage) -> bool:
    return outage.bad(min(outage.seconds, NAIVE_WINDOW), NAIVE_WINDOW) > SLO.limit


def significant(outage: Outage) -> bool:
    """It spends what a page is for: 2 % of a month's budget within an hour, or 5 % within six."""
    return any(
        budget_spent(SLO, outage.ratio, min(outage.seconds, alert.long)) > alert.share
        for alert in BURN_RATE_ALERTS
        if alert.severity == "page"
    )


def test_a_page_is_precise_and_misses_nothing_that_matters():
    outages = random_outages()
    precision, recall = precision_and_recall(pages, significant, outages)
    assert precision == 1.0
    assert recall > 0.97
    assert precision_and_recall(naive, significant, outages)[0] < 0.75


def table() -> str:
    """The table of docs/alerting.md."""
    head = [
        "error ratio",
        *(f"{_words(alert.long)} / {_words(alert.short)}, {alert.severity}" for alert in BURN_RATE_ALERTS),
    ]
    rows = [head, ["---"] * len(head)]
    for ratio in OUTAGES:
        outage = Outage(ratio, 4 * DAY)
        rows.append([f"{ratio * 100:g} %", *(_cell(outage, alert) for alert in BURN_RATE_ALERTS)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(outage: Outage, alert) -> str:
    ideal, found = detection_time(SLO, alert, outage.ratio), outage.detected(alert)
    if ideal is None or found is None:
        return "never"
    spent = budget_spent(SLO, outage.ratio, found) * 100
    return f"{_words(ideal)} → {_words(found)}; {spent:.3g} %; {_words(outage.reset(alert))}"


def _words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / HOUR:.3g} h" if seconds <= 2 * DAY else f"{seconds / DAY:.3g} d"


def test_the_table_in_the_documentation_is_what_the_simulation_gives():
    assert table() in (services.ROOT / "docs" / "alerting.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    print(table())
    found = random_outages()
    print(
        "pages",
        precision_and_recall(pages, significant, found),
        "naive",
        precision_and_recall(naive, significant, found),
    )
