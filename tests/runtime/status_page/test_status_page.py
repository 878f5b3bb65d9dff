"""The parts of the status page, with plain numbers."""

from functools import partial
from types import SimpleNamespace

import pytest

from slotel.config.service import read_service
from slotel.config.slo import Slo
from slotel.runtime.budget.windows import BudgetWindows
from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.store.family import Family
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.sentry.errors.recent import RecentErrors
from slotel.runtime.status_page import health, sections, shared
from slotel.runtime.status_page.charts import Line, chart, tag
from slotel.runtime.status_page.history import APART, History, quantile
from slotel.runtime.status_page.objectives import objectives, verdict
from slotel.runtime.status_page.settings import settings
from slotel.runtime.status_page.shared import Last, ProcessStatus
from slotel.runtime.upstream.otel.instrumentations.instrumentors import active_instrumentations

NOW = 1_772_409_600.0
LABELS = ("service_name", "span_name", "span_kind", "status_code", "http_route", "http_response_status_code")


def family(*series):
    rows = {("shop", name, kind, status, "", ""): (*buckets, 1.0) for name, kind, status, buckets in series}
    return Family(
        "traces_span_metrics_duration_seconds", "histogram", "", "seconds", LABELS, (0.1, 1.0), rows, {}, 0.0
    )


def test_any_text_is_escaped_where_it_is_put_into_a_tag():
    assert (
        tag("p", "<b>&\"'", title='"><script>')
        == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;&quot;&#x27;</p>'
    )
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"


def test_the_last_minute_counts_entry_spans_only_and_is_the_difference_of_two_moments():
    clock = [NOW]
    history = History(lambda: clock[0])
    history.add([family(("GET /", "SPAN_KIND_SERVER", "STATUS_CODE_UNSET", (100, 0, 0)))])
    clock[0] += 30
    history.add(
        [
            family(
                ("GET /", "SPAN_KIND_SERVER", "STATUS_CODE_UNSET", (100, 45, 0)),
                ("GET /", "SPAN_KIND_SERVER", "STATUS_CODE_ERROR", (15, 0, 0)),
                ("SELECT", "SPAN_KIND_CLIENT", "STATUS_CODE_UNSET", (500, 0, 0)),
            )
        ]
    )
    found = history.last_minute((0.1, 1.0), created=0.0)
    assert (found.rate, found.errors) == (2.0, 0.25)
    assert found.p50 == pytest.approx(0.1 + 0.9 * 15 / 45)
    assert [each.rate for each in history.hour((0.1, 1.0))] == [2.0]


def test_moments_that_follow_at_once_are_one_and_those_of_more_than_an_hour_ago_are_gone():
    clock = [NOW]
    history = History(lambda: clock[0])
    for _ in range(3):
        history.add([family()])
        clock[0] += APART / 4
    assert len(history._moments) == 1
    for _ in range(2000):
        clock[0] += APART
        history.add([family()])
    assert len(history._moments) <= 901 and len(history.hour((0.1, 1.0))) <= 121


def test_counters_that_began_anew_make_a_gap_and_no_negative_rate():
    clock = [NOW]
    history = History(lambda: clock[0])
    for calls in (100, 3):
        history.add([family(("GET /", "SPAN_KIND_SERVER", "STATUS_CODE_UNSET", (calls, 0, 0)))])
        clock[0] += 10
    assert history.last_minute((0.1, 1.0), created=0.0) is None
    assert history.hour((0.1, 1.0)) == []


@pytest.mark.parametrize(
    ("q", "buckets", "expected"), [(0.5, (0, 0, 0), None), (0.99, (0, 0, 5), 1.0), (0.5, (10, 0, 0), 0.05)]
)
def test_a_quantile_is_prometheus(q, buckets, expected):
    assert quantile(q, buckets, (0.1, 1.0)) == expected


def test_the_verdict_names_the_worst_objective_and_counts_only_what_is_enough():
    clock = [NOW]
    meter = BudgetWindows(
        Store(), (Slo("availability", 0.01, 0.99), Slo("latency", 0.5, 0.5)), lambda: clock[0]
    )
    assert verdict(objectives(meter)) == ("quiet", "No event of an objective in the last 1h.")
    cells = meter.counter_cells(meter.slos[0])
    meter._events.add(cells["good"], 96)
    meter._events.add(cells["bad"], 4)
    assert verdict(objectives(meter))[0] == "warn", "four bad events raise no alert, but the budget is spent"
    assert str(sections.objectives(objectives(meter))).count("needs 5 bad events") == 2, "why no alert fires"
    meter._events.add(cells["bad"], 16)
    state, sentence = verdict(objectives(meter))
    assert state == "bad" and sentence.startswith(
        "Availability burns its error budget at 17.2 times the allowed rate"
    )


def test_of_many_objectives_in_trouble_the_verdict_names_the_worst_and_their_cards_come_first():
    slos = tuple(Slo(f"route-{index}", 0.01, 0.99) for index in range(60))
    meter = BudgetWindows(Store(), slos, lambda: NOW)
    for index, slo in enumerate(slos):
        meter._events.add(meter.counter_cells(slo)["good"], 100)
        meter._events.add(meter.counter_cells(slo)["bad"], index if index >= 50 else 0)
    every = objectives(meter)
    state, sentence = verdict(every)
    assert state == "bad" and sentence.startswith("Route-59 burns")
    assert [sentence.count(f"oute-{index} ") for index in (59, 58, 57, 56)] == [1, 1, 1, 0]
    assert sentence.endswith("; and 7 more.")
    assert [each.slo.name for each in every] == [f"route-{index}" for index in (*range(50, 60), *range(50))]


def test_a_promise_is_shown_as_it_was_made_and_a_total_outage_without_exponents():
    """To three digits 99.95 % is 100 %, and a thousand times the allowed rate 1e+03."""
    clock = [NOW]
    meter = BudgetWindows(
        Store(), (Slo("strict", 0.0005, 0.9995), Slo("nines", 1e-7, 0.9999999)), lambda: clock[0]
    )
    for slo in meter.slos:
        meter._events.add(meter.counter_cells(slo)["bad"], 20)
    shown = str(sections.objectives(objectives(meter)))
    for text in ("99.95 % good", "limit 0.05 %", "2,000× / 2,000×", "99.99999 % good", "limit 0.00001 %"):
        assert text in shown
    assert "at 2,000 times the allowed rate" in verdict(objectives(meter))[1]
    assert "e+" not in shown and "e-0" not in shown


def test_what_was_lost_has_a_sentence_beside_its_reason():
    rows = {("error_detail", "variables"): (3.0,), ("traces", "status_413"): (2.0,)}
    lost = Family("slotel_dropped", "counter", "", "", ("signal", "reason"), (), rows, {}, 0.0)
    shown = str(health.delivery(SimpleNamespace(sentry=None), [lost], {}, {}))
    assert "<td>3</td><td>events in a storm of errors, without local variables" in shown
    assert "<td>2</td><td>Sentry refused them with HTTP status 413</td>" in shown


def test_the_chart_of_a_young_objective_is_in_fine_steps():
    clock = [NOW]
    store = Store(clock=lambda: clock[0])
    meter = BudgetWindows(store, (Slo("availability", 0.01, 0.99),), lambda: clock[0])
    cells = meter.counter_cells(meter.slos[0])
    for _ in range(3):
        meter._events.add(cells["good"], 9)
        meter._events.add(cells["bad"], 1)
        clock[0] += 10
        meter.roll()
    recent = meter.recent(0)
    assert recent.step == 10 and recent.points == ((1, 10), (1, 10), (1, 10), (0, 0))
    clock[0] += 1200
    assert meter.recent(0).step == 60


def test_a_single_point_is_seen_and_a_gap_stays_one():
    drawn = chart("rate", [0, 1, 2, 3], [Line("rate", [1.0, None, 2.0, None])])
    assert drawn.count("<polyline") == 2


def test_each_setting_has_its_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slotel.yaml").write_text(
        "version: 1\nslos: [{name: availability, objective: 99%, description: 'as https://h/?token=SEK7RETx9'},\n"
        "  {name: fast, objective: 99%, period: 7d}]\n"
        "tags: {set: {api_token: SEK7RETx9, zone: a}}\n"
        "monitoring: {sentry_url: 'https://user:p/SEK7RETx9@sentry.example/organizations/acme'}\n"
    )
    environ = {"SENTRY_DSN": "https://key@sentry.example/1", "SLOTEL_MAX_SERIES": "500"}
    text = (tmp_path / "slotel.yaml").read_text()
    given = settings(read_service(environ, text).service, environ, Redactor())
    found = {each.path: each for each in given}
    assert "SEK7RETx9" not in repr(given)
    assert (found["tags.set.api_token"].value, found["tags.set.zone"].value) == ("[Filtered]", "a")
    assert found["sentry.dsn"][1:] == ("set, not shown", "environment")
    assert found["max_series"][1:] == ("500", "environment")
    assert found["monitoring.sentry_url"][1:] == (
        "https://[Filtered]@sentry.example/organizations/acme",
        "slotel.yaml",
    )
    assert found["http_metrics"].source == "default"
    fast = {path: found[f"slos.fast.{path}"].source for path in ("name", "limit", "period.seconds", "window")}
    assert fast == {
        "name": "slotel.yaml",
        "limit": "slotel.yaml",
        "period.seconds": "slotel.yaml",
        "window": "default",
    }


def test_the_last_errors_are_those_of_all_processes_and_hold_no_message():
    def event(number):
        values = [{"type": "ValueError", "value": "a secret"}]
        return {"event_id": str(number), "transaction": "GET /", "exception": {"values": values}}

    here, there = RecentErrors(), RecentErrors()
    for recent, numbers in ((here, range(3)), (there, range(3, 8))):
        note = partial(recent.noted(lambda kind, event: event), "event")
        for number in numbers:
            note(event(number))
            note(event(number))

    mine, theirs = (ProcessStatus(errors=each.latest()) for each in (here, there))
    written = shared.encode(theirs)
    every = shared.merged([mine, shared.decode(written)])
    assert [each.event_id for each in every.errors] == [*map(str, reversed(range(8)))]
    assert b"secret" not in written
    assert shared.decode(b"[[1") == ProcessStatus()
    assert shared.decode(shared.combine([written, b"broken"])).errors == shared.decode(written).errors


def test_off_means_that_the_address_has_no_page():
    assert read_service({"SLOTEL_PAGE": "off"}).service.page is False
    assert read_service({}).service.page is True
    assert read_service({"SLOTEL_PAGE": "no"}).problems != ()
    request = type("Request", (), {"method": "GET", "path": "/", "headers": {}})
    assert Endpoint("127.0.0.1", 0, [])._answers([request])[0].status == "404 Not Found"


def test_instrumentations_that_are_on_are_listed_and_those_that_are_off_are_not():
    from opentelemetry.instrumentation.urllib import URLLibInstrumentor

    before = set(active_instrumentations())
    URLLibInstrumentor().instrument()
    try:
        assert set(active_instrumentations()) == before | {"urllib"}
    finally:
        URLLibInstrumentor().uninstrument()
    assert set(active_instrumentations()) == before - {"urllib"}


def test_of_all_processes_the_latest_delivery_stands_and_what_waits_adds_up():
    mine = ProcessStatus({"sentry": Last(10.0, None, 2), "traces": Last(50.0, 60.0)}, ["flask"])
    theirs = {"sentry": Last(20.0, None, 3), "traces": Last(70.0), "metrics": Last(None, 5.0)}
    theirs = shared.decode(shared.encode(ProcessStatus(theirs, ["celery"])))
    every = shared.merged([mine, theirs])
    assert every.deliveries == {
        "sentry": Last(20.0, None, 5),
        "traces": Last(70.0, None, None),
        "metrics": Last(None, 5.0, None),
    }
    assert every.instrumentations == ("celery", "flask")
    dead = shared.decode(shared.combine([shared.encode(mine), b"broken"]))
    assert dead.deliveries["sentry"] == Last(10.0), "nothing of a dead process waits"
    assert not dead.instrumentations
