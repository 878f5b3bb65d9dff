"""The status page says what the gauges say."""

from html.parser import HTMLParser

from slotel.config.slo import Slo
from slotel.runtime.budget.windows import BudgetWindows
from slotel.runtime.metrics.scrape.status_page import page
from slotel.runtime.metrics.store.store import Store


class Text(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.over: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag if ("class", "over") not in attrs else "over")

    def handle_data(self, data):
        self.words.append(data)
        if self.open[-1] == "over":
            self.over.append(data)


def metered(*slos: Slo) -> BudgetWindows:
    return BudgetWindows(Store(), slos)


def test_an_objective_stands_with_its_limit_and_what_is_left():
    html = page(metered(Slo("availability", 0.01, 0.99)).families(), {"service.name": "shop"})
    words = Text(html).words
    assert words[words.index("availability") : words.index("availability") + 2] == ["availability", "1 %"]
    assert "0 % (0×)" in words
    assert "100 %" in words
    assert Text(html).over == []


def test_a_budget_that_burns_too_fast_is_marked():
    families = list(metered(Slo("availability", 0.01, 0.99)).families())
    for family in families:
        if family.name == "error_budget_burn_rate":
            family.series.update({values: (2.5,) for values in family.series if values[-1] == "1h"})
    assert Text(page(families, {})).over == ["0 % (2.5×)"]


def test_a_name_is_text_and_never_markup():
    html = page(metered(Slo("<script>", 0.01, 0.99)).families(), {"service.name": "<img src=x>"})
    assert "<script>" not in html
    assert "<img" not in html
    assert "<script>" in Text(html).words


def test_without_objectives_it_says_so():
    assert "No objective is declared." in Text(page([], {})).words
