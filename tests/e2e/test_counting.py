"""Requests served are requests counted: under real auto-instrumentation, over real HTTP, at any sampling rate."""

import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from support.launch import Launched, wait_until
from support.promtool import check_metrics

CALLS = "traces_span_metrics_calls_total"
SERVER = {"span_kind": "SPAN_KIND_SERVER"}


@pytest.mark.parametrize("rate", ["1", "0.1", "0"])
def test_every_request_is_counted_at_any_sampling_rate(rate):
    with Launched(sys.executable, "flask_app.py", env={"SENTRY_TRACES_SAMPLE_RATE": rate}) as service:
        service.wait_ready()
        paths = [
            path
            for number in range(40)
            for path in ("/ok", f"/items/{number}", "/error", "/missing", "/healthz")
        ]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(service.get, paths))
        assert wait_until(
            lambda: service.sample(CALLS, **SERVER) == service.requests, "each request is counted"
        )
        assert service.sample(CALLS, **SERVER, http_route="/items/<int:number>") == 40
        assert service.sample(CALLS, **SERVER, http_route="/error", status_code="STATUS_CODE_ERROR") == 40
        assert service.sample(CALLS, span_name="load item", span_kind="SPAN_KIND_INTERNAL") == 40
        assert service.sample("slo_events_total", slo_outcome="bad") == 40
        assert service.sample("slo_events_total", slo_outcome="good") == 120
        assert service.sample("slo_events_total") == service.requests == len(paths) + 1


def test_span_names_are_routes_and_not_paths(fastapi_service):
    route = {"http_route": "/items/{number}", **SERVER}
    before = fastapi_service.sample(CALLS, **route)
    for number in range(7):
        fastapi_service.get(f"/items/{number}")
    wait_until(lambda: fastapi_service.sample(CALLS, **route) == before + 7, "all are counted")
    names = {labels["span_name"] for labels, _ in fastapi_service.samples(CALLS)}
    assert not [name for name in names if "/items/3" in name]


def test_duration_is_a_histogram_in_seconds_that_agrees_with_the_calls(flask_service):
    flask_service.get("/slow")
    route = {"http_route": "/slow", **SERVER}
    wait_until(lambda: flask_service.sample(CALLS, **route) >= 1, "the slow request is counted")
    calls = flask_service.sample(CALLS, **route)
    assert flask_service.sample("traces_span_metrics_duration_seconds_count", **route) == calls
    assert flask_service.sample("traces_span_metrics_duration_seconds_bucket", **route, le="+Inf") == calls
    assert (
        0.35 * calls <= flask_service.sample("traces_span_metrics_duration_seconds_sum", **route) < 2 * calls
    )


def test_a_slow_request_is_bad_for_the_latency_objective_alone(flask_service):
    def outcomes(slo):
        return [
            flask_service.sample("slo_events_total", slo_name=slo, slo_outcome=kind)
            for kind in ("good", "bad")
        ]

    available, fast = outcomes("availability"), outcomes("fast")
    flask_service.get("/slow")
    wait_until(lambda: outcomes("fast") == [fast[0], fast[1] + 1], "it is bad for 'fast'")
    assert outcomes("availability") == [available[0] + 1, available[1]]


def test_every_outcome_is_there_at_zero_from_the_start():
    with Launched(sys.executable, "flask_app.py") as service:
        wait_until(lambda: _answers(service), "the scrape answers")
        outcomes = {labels["slo_outcome"]: value for labels, value in service.samples("slo_events_total")}
        assert outcomes == {"good": 0, "bad": 0, "excluded": 0}


def test_a_tag_that_the_policy_makes_a_label_is_one_and_does_not_leak_into_the_next_request(flask_service):
    route = {"http_route": "/tags/<team>", **SERVER}
    before = {team: flask_service.sample(CALLS, **route, team=team) for team in ("search", "carts")}
    count = flask_service.sample(CALLS, **route)
    for team in ("search", "search", "carts"):
        flask_service.get(f"/tags/{team}")
    flask_service.get("/ok")
    wait_until(lambda: flask_service.sample(CALLS, **route) == count + 3, "all are counted")
    assert flask_service.sample(CALLS, **route, team="search") == before["search"] + 2
    assert flask_service.sample(CALLS, **route, team="carts") == before["carts"] + 1
    assert flask_service.sample(CALLS, http_route="/ok", team="payments") >= 1
    assert flask_service.sample(CALLS, http_route="/ok", team="carts") == 0


def test_the_apps_own_instruments_stand_beside_the_span_metrics(flask_service):
    before = flask_service.sample("orders_total")
    flask_service.get("/ok")
    wait_until(lambda: flask_service.sample("orders_total") == before + 1, "the order is counted")


def test_promtool_finds_nothing_in_the_metrics_of_a_service(flask_service):
    """slotel's own, the app's instruments and the process's, over what a real service was asked."""
    for path in ("/ok", "/items/3", "/error", "/missing"):
        flask_service.get(path)
    text = flask_service.scrape()
    assert "orders_total" in text and "process_" in text
    assert check_metrics(text) == ""


def test_exemplars_name_sampled_spans_only_and_stand_on_buckets_and_counters():
    """The caller decides here: the later requests are not sampled, and leave none."""
    with Launched(sys.executable, "flask_app.py") as service:
        service.wait_ready()
        for flag, number in (("01", 1), ("01", 2), ("00", 3), ("00", 4)):
            service.get("/ok", {"traceparent": f"00-{number:032x}-00000000000000aa-{flag}"})
        wait_until(lambda: service.sample(CALLS, span_name="GET /ok") == 4, "all are counted")
        text = service.scrape({"Accept": "application/openmetrics-text;version=1.0.0"})
    marked = [line for line in text.splitlines() if " # {" in line and "/ok" in line]
    assert {line.split("{")[0] for line in marked} >= {"traces_span_metrics_duration_seconds_bucket", CALLS}
    found = {line.partition(" # {")[2].split('"')[1] for line in marked}
    assert found <= {f"{1:032x}", f"{2:032x}"} and f"{2:032x}" in found


def test_label_values_of_every_kind_break_no_scrape_and_none_is_lost(flask_service):
    odd = ['quo"te', "new\nline", "nul\0", "back\\slash", "ünï", "x" * 60_000, "😀"]
    before = flask_service.sample(CALLS, span_name="GET /tags/<team>")
    for value in odd:
        assert flask_service.get(f"/tags/{quote(value, safe='')}")[0] == 200
    wait_until(
        lambda: flask_service.sample(CALLS, span_name="GET /tags/<team>") == before + len(odd),
        "all are counted",
    )
    assert check_metrics(flask_service.scrape()) == ""


def test_the_budget_gauges_say_limit_rate_burn_and_what_is_left(fastapi_service):
    for _ in range(10):
        fastapi_service.get("/error")
    ratio = wait_until(
        lambda: fastapi_service.sample("error_budget_error_ratio", slo_name="availability", window="1h"),
        "a ratio",
    )
    assert fastapi_service.sample("error_budget_limit_ratio", slo_name="availability") == 0.05
    assert (
        fastapi_service.sample("error_budget_burn_rate", slo_name="availability", window="1h")
        >= ratio / 0.05 * 0.5
    )
    assert fastapi_service.sample("error_budget_remaining_ratio", slo_name="availability") < 1


def _answers(service):
    try:
        return "slo_events_total" in service.scrape()
    except OSError:
        return False
