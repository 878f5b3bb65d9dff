"""The dashboards as Grafana's own libraries draw them: over a scripted day, over nothing, alive and killed.

What this does not prove: Grafana's server, its provisioning, and the look of what is no library (see drawing's stand-ins).
"""

import json
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from grafana.drawing import GREY, Drawn, browser
from slotel.compile import dashboards
from slotel.compile.prometheus.rules import groups
from support import scripted_day, services
from support.backfilled import scripted_past
from support.launch import Launched, free_port, wait_until
from support.prom import Prometheus

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's SDK needs Python 3.11"),
]

DAY = f"from={scripted_day.START * 1000}&to={scripted_day.END * 1000}"
BOARDS = {
    "slotel-slo-list": "",
    "slotel-slo-detail": "&var-service=checkout&var-slo=availability",
    "slotel-service": "&var-service=checkout",
    "slotel-pipeline": "",
}
QUIET_IN_A_DAY = {"Time to exhaustion", "Errors sent to Sentry"}
"""May have no value for an objective or a service of the day that had nothing of it."""
UNREADABLE = re.compile(r"\d[\d.]* K\b|weeks?|years?|NaN|Infinity|undefined|\$\{|\{\{|^null$")
HOSTILE = 'C++ a|b.c [team] $1 (x it\'s "50 %" ☃\\d'
"""A service's name with characters of regular expressions, of PromQL's strings and of templates."""
PARTS = ["checkout", "C++", "a|b.c", "[team] $1 (x", 'it\'s "50 %" ☃\\d']
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boards")
    for text in dashboards.files(services.service(services.EXAMPLE)).values():
        (folder / f"{json.loads(text)['uid']}.json").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def chromium(boards):
    with browser(boards) as opened:
        yield opened


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """A Prometheus that knows no series."""
    with Prometheus(tmp_path_factory.mktemp("empty") / "prometheus", {}) as opened:
        yield opened


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """The scripted day, with the generated rules evaluated over it and their alerts."""
    of_day = scripted_day.services(services.EXAMPLE)
    rules = [group for service in of_day for group in groups(service)]
    directory = tmp_path_factory.mktemp("day")
    with scripted_past(directory, rules) as opened:
        yield opened


@pytest.fixture
def of_the_day(chromium, day):
    chromium.use(
        day.url,
        exemplarTraceIdDestinations=[{"name": "trace_id", "url": "https://sentry.example/${__value.raw}"}],
    )
    return chromium


def address(uid: str, time: str = DAY, variables: str | None = None) -> str:
    return f"/d/{uid}?{time}{BOARDS[uid] if variables is None else variables}"


def expected_titles(boards: Path, uid: str) -> set[str]:
    board = json.loads((boards / f"{uid}.json").read_text())
    return {panel["title"] for panel in board["panels"] if panel["type"] != "row"}


def good_ratio(day) -> float:
    """Of the whole day, by its counters: the recording rules have no part in it."""
    events = 'slo_events_total{service_name="checkout",slo_name="availability",slo_outcome='
    (bad,) = day.instant(f'sum(increase({events}"bad"}}[1d]))')
    (every,) = day.instant(f'sum(increase({events.rstrip("=")}=~"good|bad"}}[1d]))')
    return 1 - float(bad["value"][1]) / float(every["value"][1])


def whole(drawn: Drawn) -> None:
    """Every panel is there without an error, every text is readable, every legend is whole."""
    assert drawn.faults == []
    assert {title: panel["error"] for title, panel in drawn.panels.items() if "error" in panel} == {}
    texts = {
        title: json.dumps({key: panel[key] for key in panel.keys() - {"links"}}, ensure_ascii=False)
        for title, panel in drawn.panels.items()
    }
    assert {title: found[0] for title, text in texts.items() if (found := UNREADABLE.search(text))} == {}
    assert drawn.hidden_legends == []


@pytest.mark.parametrize(
    "look", [{"width": 1600, "theme": "dark"}, {"width": 800, "theme": "light"}], ids=["wide", "narrow"]
)
@pytest.mark.parametrize("uid", BOARDS)
def test_every_panel_is_drawn_with_data_and_nothing_is_cut(of_the_day, boards, uid, look):
    drawn = of_the_day.draw(address(uid), **look)
    assert drawn.panels.keys() == expected_titles(boards, uid)
    whole(drawn)
    assert drawn.empty() == set()
    charts = {title: panel["marks"] for title, panel in drawn.panels.items() if panel["type"] == "timeseries"}
    marked = {title: [count for _, count in marks] for title, marks in charts.items()}
    assert {title: marks for title, marks in marked.items() if len(marks) < 2 or not all(marks)} == {}, (
        "deploys and alerts are marked on every chart"
    )


def test_numbers_have_the_unit_and_the_decimals_that_tell_kept_from_broken(of_the_day, day):
    detail = of_the_day.draw(address("slotel-slo-detail"))
    shown = {title: detail.text(title)[0] for title in ("Objective", "Limit", "Period", "Time to exhaustion")}
    expected = {"Objective": "99.900%", "Limit": "0.100%", "Period": "30 days", "Time to exhaustion": "spent"}
    assert shown == expected
    assert re.fullmatch(r"-\d+\.\d%", detail.text("Budget left")[0])
    (good,) = detail.text("Good in period")
    assert re.fullmatch(r"99\.\d{3}%", good) and float(good[:-1]) == pytest.approx(
        100 * good_ratio(day), abs=0.01
    )
    bars = [name for name, _, _ in detail.panels["Burn rate by window"]["values"]]
    assert bars == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
    assert set(detail.panels["Burn rates with the thresholds of the alerts"]["names"]) >= {
        "page 1h/5m", "page 6h/30m", "ticket 1d/2h", "ticket 3d/6h"
    }  # fmt: skip
    failing = {row[0]: row[1:] for row in detail.panels["Failing operations of the service"]["rows"]}
    assert failing["POST /checkout"] == ["500", "1,252"]
    assert failing["orders process"][0] == "–", "a call without HTTP has no status, and says no other thing"
    (promise,) = detail.panels["What is promised, and by whom"]["rows"]
    assert promise == ["Requests are answered without an error.", "payments", "99.900%"]


def test_the_seeds_three_panels_are_the_first_row_of_the_service(of_the_day, boards):
    board = json.loads((boards / "slotel-service.json").read_text())
    top = min(panel["gridPos"]["y"] for panel in board["panels"] if panel["type"] != "row")
    first = [
        panel["title"] for panel in board["panels"] if panel["gridPos"]["y"] == top and panel["type"] != "row"
    ]
    assert first == ["Error rate by Sentry project", "Error budget: rate against limit", "Latency"]
    drawn = of_the_day.draw(address("slotel-service"))
    assert drawn.panels["Error rate by Sentry project"]["names"] == [scripted_day.PROJECT]
    assert [name for name, _, _ in drawn.panels["Error budget: rate against limit"]["values"]] == [
        "availability",
        "latency",
        "recommendations",
    ]
    assert drawn.panels["Latency"]["names"] == ["p50", "p95", "p99"]
    assert drawn.text("Errors sent to Sentry")[0].replace(",", "").isdigit()


def test_every_link_leads_to_a_dashboard_that_is_not_empty(of_the_day):
    """Those of the heads and of the cells, "All" chosen or not; each target once."""
    seen: set[tuple[str, ...]] = set()
    waiting = [address(uid, variables="") for uid in BOARDS]
    opened = 0
    while waiting:
        link = waiting.pop(0)
        parts = urlsplit(link)
        chosen = parse_qs(parts.query)
        key = (
            parts.path,
            *(str(chosen.get(f"var-{name}")) for name in ("service", "slo")),
            str("var-operation" in chosen),
        )
        if key in seen:
            continue
        seen.add(key)
        drawn = of_the_day.draw(link, width=1600)
        opened += 1
        assert drawn.faults == [], link
        if (
            drawn.chosen.get("service") == "billing"
        ):  # no Python: it has neither Sentry nor the budget of slotel
            assert not drawn.empty() & {"Requests", "p95", "Latency", "Operations", "Memory"}, link
        else:
            assert drawn.empty() <= QUIET_IN_A_DAY | _allowed(chosen), link
        cells = [each for panel in drawn.panels.values() for each in panel.get("links", [])[:1]]
        links = [*drawn.links.values(), *cells]
        assert not [
            each for each in links if "${" in each or "$__all" in each.replace("environment=$__all", "")
        ], links
        waiting += [each for each in links if each.startswith("/d/")]
    assert opened >= 6


def _allowed(chosen: dict[str, list[str]]) -> set[str]:
    """Panels that an operation without an error, or a service without a Sentry project, leaves empty."""
    return {"Alert timeline"} if "var-slo" in chosen else set()


def test_a_click_on_an_objective_opens_its_detail(of_the_day):
    of_the_day.draw(address("slotel-slo-list"))
    url, detail = of_the_day.click("recommendations")
    assert "/d/slotel-slo-detail" in url
    assert (detail.chosen["service"], detail.chosen["slo"]) == ("checkout", "recommendations")
    assert detail.empty() <= QUIET_IN_A_DAY | {"Alert timeline"}


@pytest.mark.parametrize("uid", BOARDS)
def test_an_empty_store_shows_words_in_grey_and_no_error(chromium, nothing, boards, uid):
    chromium.use(nothing.url)
    drawn = chromium.draw(address(uid, "from=now-1h&to=now", ""))
    whole(drawn)
    assert drawn.panels.keys() == expected_titles(boards, uid)
    counted = {title for title in drawn.panels if title not in drawn.empty()}
    assert counted <= {"Budget burn-down over the period"}, "only its ideal line needs no data"
    for title, panel in drawn.panels.items():
        for _, text, color in panel.get("values", []):
            assert color == GREY and len(text) > 10, (title, text, color)


@pytest.mark.parametrize("name", [HOSTILE, *(pytest.param(name, marks=pytest.mark.long) for name in PARTS)])
def test_a_service_that_was_killed_is_shown_as_dead(chromium, tmp_path, name):
    """Whatever it is called."""
    environ = {
        "OTEL_SERVICE_NAME": name,
        "ERROR_BUDGET_LIMIT": "5%",
        "SENTRY_DSN": f"http://key@127.0.0.1:{free_port()}/42",
    }
    with (
        Launched(sys.executable, "flask_app.py", env=environ) as service,
        Prometheus(tmp_path / "prometheus", {"shop": [f"127.0.0.1:{service.metrics_port}"]}) as prometheus,
    ):
        service.wait_ready()
        chromium.use(prometheus.url, timeInterval="2s")
        now = address("slotel-service", "from=now-15m&to=now", f"&var-service={quote(name)}")

        def is_counted() -> bool:
            for path in ("/ok", "/items/7", "/error"):
                service.get(path)
            return prometheus.value("sum(rate(traces_span_metrics_calls_total[8s]))") > 0

        wait_until(is_counted, "Prometheus has a rate of requests")
        drawn = wait_until(lambda: _alive(chromium.draw(now)), "the service is shown alive")
        whole(drawn)
        service.stop(9)
        wait_until(
            lambda: not prometheus.query("traces_span_metrics_calls_total"),
            "Prometheus knows that it is gone",
        )
        drawn = chromium.draw(now)
    assert drawn.text("Instances") == ["none: dead?"]
    for title in ("Requests", "Errors", "p95"):
        assert drawn.text(title) == ["No spans now"]
        assert drawn.color(title) == GREY
    assert drawn.text("Error budget: rate against limit") != []


def _alive(drawn: Drawn) -> Drawn | None:
    counted = drawn.text("Requests")[0].endswith("req/s") and drawn.text("Errors")[0].endswith("%")
    return drawn if counted and drawn.text("Instances") == ["1"] else None
