"""The status page as Chromium shows it: it equals /metrics, whatever the names, and says when nobody answers any more."""

import sys
import time
import urllib.request
from urllib.parse import quote

import pytest

from runtime.status_page.looking import looking, rows
from support.launch import Launched, free_port, wait_until

pytestmark = pytest.mark.real

HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)> {{7*7}} GET /ünï"
NEVER_SHOWN = "SECRET-KEY-OF-THE-DSN"
ENV = {
    "SENTRY_DSN": f"http://{NEVER_SHOWN}@127.0.0.1:{{port}}/42",
    "SENTRY_PROJECT": "shop",
    "SENTRY_ENVIRONMENT": "test",
    "ERROR_BUDGET_LIMIT": "5%",
    "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.4.2",
}


@pytest.fixture(scope="module")
def browser():
    with looking() as look:
        yield look


def launched():
    env = {name: value.replace("{port}", str(free_port())) for name, value in ENV.items()}
    return Launched(sys.executable, "spans_app.py", env=env)


@pytest.fixture(scope="module")
def service():
    with launched() as running:
        running.wait_ready("/")
        running.get(f"/spans?name={quote('GET /ok')}&count=190")
        running.get(f"/spans?name={quote(HOSTILE)}&count=10&error=1")
        yield running


@pytest.fixture
def page(service):
    return f"http://127.0.0.1:{service.metrics_port}/"


def counted(service, name):
    server = {"span_kind": "SPAN_KIND_SERVER", "span_name": name}
    calls = service.sample("traces_span_metrics_calls_total", **server)
    failed = service.sample("traces_span_metrics_calls_total", status_code="STATUS_CODE_ERROR", **server)
    return calls, failed


def test_what_it_shows_is_what_metrics_say_also_of_a_hostile_name(service, browser, page):
    browser.open(page)
    seen = browser.read()
    operations = {row[0]: row for row in rows(seen, "Since the start of the service")}
    for name in ("GET /ok", HOSTILE):
        calls, failed = counted(service, name)
        assert operations[name][1:3] == [f"{calls:,.0f}", f"{failed:,.0f}"], name
    left = service.sample("error_budget_remaining_ratio", slo_name="availability")
    assert any(f"{left * 100:,.3g} %" in card for card in seen["cards"] if card.startswith("availability")), (
        seen["cards"]
    )
    assert seen["verdict"] == "verdict good" or seen["verdict"] == "verdict bad"
    assert "img" not in seen["elements"] and seen["said"] == []


def test_what_waits_for_a_sentry_that_cannot_be_reached_is_not_called_sent(browser, page):
    browser.open(page)
    (sentry,) = [card for card in browser.read()["cards"] if card.startswith("Sentry")]
    assert "none yet" in sentry and " sent" not in sentry


def test_it_asks_for_nothing_but_itself_sets_no_cookie_and_its_policy_lets_nothing_else_in(browser, page):
    headers = browser.open(page)
    browser.ask("wait", milliseconds=2600)
    seen = browser.read()
    assert seen["asked"] == [page] and seen["cookies"] == []
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"


def test_keys_are_not_shown_and_each_setting_says_where_it_came_from(browser, page):
    browser.open(page)
    browser.ask("click", selector="#settings-head")
    settings = {path: (value, source) for path, value, source in rows(browser.read(), "Effective values")}
    assert settings["sentry.dsn"] == ("set, not shown", "environment")
    assert settings["sentry.project"] == ("shop", "environment")
    assert settings["slos.availability.limit"] == ("0.05", "environment")
    assert settings["max_series"] == ("2000", "default")
    with urllib.request.urlopen(page) as answer:
        assert NEVER_SHOWN not in answer.read().decode()


@pytest.mark.parametrize(
    "look", [{"theme": "light"}, {"theme": "dark"}, {"theme": "dark", "width": 390, "height": 844}]
)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(browser, page, look):
    browser.open(page, **look)
    browser.ask("click", selector="#settings-head")
    assert browser.ask("accessible")["violations"] == []
    seen = browser.read()
    assert (seen["wide"], seen["cut"]) == (0, 0), "also of an alert's row the end is seen: whether it fires"


def test_it_is_live_and_keeps_what_is_open_and_focused(service, browser, page):
    browser.open(page)
    browser.ask("click", selector="#settings-head")
    before = counted(service, "GET /ok")[0]
    service.get(f"/spans?name={quote('GET /ok')}&count=7")

    def shows_them():
        operations = {row[0]: row for row in rows(browser.read(), "Since the start of the service")}
        return operations["GET /ok"][1] == f"{before + 7:,.0f}"

    wait_until(shows_them, "the page shows seven more requests by itself", 30)
    assert browser.read()["open"] == 1
    assert browser.ask("press", key="Shift")["focused"] == "settings-head"


OPERATIONS = (
    "[...document.querySelectorAll('.wide')].find((each) => each.ariaLabel.startsWith('Since the start'))"
)
SELECT = f"getSelection().selectAllChildren({OPERATIONS}.querySelector('tbody th')); String(getSelection())"


def updates(browser):
    """Wait until the page has taken another answer."""
    before = browser.ask("evaluate", script="document.querySelector('footer').innerText")
    wait_until(
        lambda: browser.ask("evaluate", script="document.querySelector('footer').innerText") != before,
        "the page is updated",
        30,
    )


def test_an_update_leaves_a_table_where_it_is_scrolled_to(browser, page):
    browser.open(page, width=320, height=600)
    left = browser.ask("evaluate", script=f"{OPERATIONS}.scrollLeft = 40; {OPERATIONS}.scrollLeft")["value"]
    assert left == 40, "the table is wider than the phone"
    updates(browser)
    assert browser.ask("evaluate", script=f"{OPERATIONS}.scrollLeft")["value"] == 40


def test_selected_text_can_be_copied_and_a_focused_link_opened_while_the_verdict_is_live(browser, page):
    browser.open(page)
    selected = browser.ask("evaluate", script=SELECT)["value"]
    wait_until(lambda: browser.read()["live"].startswith("paused"), "the page says that it waits", 30)
    browser.ask("evaluate", script="document.querySelector('.verdict').textContent = 'old'")
    wait_until(lambda: "old" not in browser.read()["text"], "the verdict is updated", 30)
    assert selected and browser.ask("evaluate", script="String(getSelection())")["value"] == selected
    browser.ask("evaluate", script="getSelection().removeAllRanges()")
    wait_until(lambda: browser.read()["live"] == "live", "the page goes on", 30)
    browser.ask("press", key="Tab")
    wait_until(lambda: browser.read()["live"].startswith("paused"), "the page waits again", 30)
    assert browser.ask("press", key="Shift")["focused"] != "body"


def test_without_javascript_it_is_complete_and_comes_again_by_itself(service, browser, page):
    browser.open(page, javascript=False)
    with urllib.request.urlopen(page) as answer:
        text = answer.read().decode()
    assert '<noscript><meta http-equiv="refresh"' in text
    for heading in ("Objectives", "Requests", "Operations", "Last errors", "Delivery", "Configuration"):
        assert f">{heading}</h2>" in text


def test_a_view_of_2000_series_is_a_tenth_of_a_scrape_of_them(service, browser, page):
    service.get("/many?series=1990")
    browser.open(page)
    seen = browser.read()
    assert len(rows(seen, "Since the start of the service")) == 10 and seen["wide"] == 0
    sizes = {}
    for path in ("", "metrics"):
        with urllib.request.urlopen(f"{page}{path}") as answer:
            sizes[path] = len(answer.read())
    assert sizes[""] < sizes["metrics"] / 10


def test_a_service_that_nobody_has_asked_says_so_and_one_that_died_is_not_taken_for_alive(browser):
    with launched() as running:
        running_page = f"http://127.0.0.1:{running.metrics_port}/"
        wait_until(lambda: _answers(running_page), "the page answers")
        browser.open(running_page)
        seen = browser.read()
        assert (
            seen["verdict"] == "verdict quiet" and "No event of an objective in the last 1h." in seen["text"]
        )
        assert browser.ask("accessible")["violations"] == []
        assert "No error was captured for Sentry." in seen["text"] and "Nothing was lost." in seen["text"]
        running.stop(9)
        wait_until(lambda: browser.read()["lost"], "the page notices", 30)
    seen = browser.read()
    assert seen["live"].startswith("No answer since ") and seen["title"].startswith("✕ no answer")


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status == 200
    except OSError:
        time.sleep(0.1)
        return False
