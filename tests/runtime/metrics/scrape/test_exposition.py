"""What is written can be read back, by the parsers of prometheus_client and by promtool."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from slotel.config import names
from slotel.runtime.metrics.scrape.exposition import MAX_LABEL_VALUE, SLICE, Exposition
from slotel.runtime.metrics.store.store import Family
from support.promtool import check_metrics

BOUNDS = (0.1, 0.5, 1.0)
TRACE, SPAN = 0xABC, 0xDEF


def family(
    name="orders",
    kind="counter",
    *,
    series,
    label_names=("team",),
    unit="",
    exemplars=None,
    text="Orders taken.",
):
    bounds = BOUNDS if kind == "histogram" else ()
    return Family(name, kind, text, unit, label_names, bounds, series, exemplars or {}, 1.0)


def write(*families, openmetrics=False, target=None):
    return "".join(Exposition(target).render(families, openmetrics=openmetrics))


def read(text, openmetrics=False):
    parse = parse_openmetrics if openmetrics else parse_text
    return {f.name: f for f in parse(text)}


def duration(**kwargs):
    series = {("a",): (1.0, 2.0, 0.0, 4.0, 12.75), ("b",): (0.0, 0.0, 0.0, 0.0, 0.0)}
    return family(names.SPAN_DURATION, "histogram", series=series, unit="seconds", **kwargs)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_histogram_is_cumulative_and_its_inf_bucket_is_its_count(openmetrics):
    found = read(write(duration(), openmetrics=openmetrics), openmetrics)[names.SPAN_DURATION]
    assert found.type == "histogram"
    values = {
        (s.name.removeprefix(names.SPAN_DURATION), s.labels.get("le")): s.value
        for s in found.samples
        if s.labels["team"] == "a"
    }
    assert values == {
        ("_bucket", "0.1"): 1.0, ("_bucket", "0.5"): 3.0, ("_bucket", "1.0"): 3.0, ("_bucket", "+Inf"): 7.0,
        ("_sum", None): 12.75, ("_count", None): 7.0,
    }  # fmt: skip


def test_help_type_and_unit_stand_over_each_family():
    assert write(duration(), openmetrics=True).splitlines()[:3] == [
        "# HELP traces_span_metrics_duration_seconds Orders taken.",
        "# TYPE traces_span_metrics_duration_seconds histogram",
        "# UNIT traces_span_metrics_duration_seconds seconds",
    ]
    assert write(family(series={("a",): (1.0,)})).splitlines()[:2] == [
        "# HELP orders_total Orders taken.",
        "# TYPE orders_total counter",
    ]


def test_a_metric_without_labels_has_no_braces():
    plain = family(series={(): (5.0,)}, label_names=())
    buckets = family("seconds", "histogram", series={(): (1.0, 0.0, 0.0, 0.0, 0.05)}, label_names=())
    text = write(plain, buckets)
    assert "\norders_total 5\n" in text
    assert '\nseconds_bucket{le="0.1"} 1\n' in text
    assert "\nseconds_sum 0.05\nseconds_count 1\n" in text.replace("{}", "")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (3.0, "3"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (-2.0, "-2"),
    ],
)
def test_a_value_is_written_as_both_formats_have_it(value, written):
    gauge = family("level", "gauge", series={("a",): (value,)})
    for openmetrics in (False, True):
        text = write(gauge, openmetrics=openmetrics)
        assert f'level{{team="a"}} {written}\n' in text
        found = read(text, openmetrics)["level"].samples[0].value
        assert found == value or (math.isnan(found) and math.isnan(value))


@given(st.text(max_size=30).filter(lambda text: "\x00" not in text), st.booleans())
def test_any_label_value_comes_back(value, openmetrics):
    text = write(family(series={(value,): (1.0,)}), openmetrics=openmetrics)
    samples = read(text.encode("utf-8", "replace").decode(), openmetrics)["orders"].samples
    assert [s.labels.get("team", "") for s in samples] == [value.encode("utf-8", "replace").decode()]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_nul_and_a_megabyte_of_text_do_not_break_the_scrape(openmetrics):
    huge, other = "x" * 1_000_000, "x" * 999_999 + "y"
    text = write(
        family(series={("a\x00b",): (1.0,), (huge,): (2.0,), (other,): (3.0,)}), openmetrics=openmetrics
    )
    found = {s.labels["team"]: s.value for s in read(text, openmetrics)["orders"].samples}
    assert list(found.values()) == [1.0, 2.0, 3.0]
    assert "a\N{REPLACEMENT CHARACTER}b" in found
    assert max(map(len, found)) < MAX_LABEL_VALUE + 10


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_help_text_with_newlines_and_quotes_is_one_line(openmetrics):
    text = write(family(series={("a",): (1.0,)}, text='A "big"\nhelp \\ text'), openmetrics=openmetrics)
    assert read(text, openmetrics)["orders"].documentation == 'A "big"\nhelp \\ text'


def test_exemplars_stand_on_buckets_and_counters_of_openmetrics_only():
    seen = {("a",): {1: (TRACE, SPAN, 0.3, 1700000000.5)}}
    orders = family(series={("a",): (2.0,)}, exemplars={("a",): {0: (TRACE, SPAN, 1.0, 1700000001.0)}})
    found = read(write(duration(exemplars=seen), orders, openmetrics=True), openmetrics=True)
    marked = {
        (s.name, s.labels.get("le")): s.exemplar for f in found.values() for s in f.samples if s.exemplar
    }
    assert set(marked) == {(f"{names.SPAN_DURATION}_bucket", "0.5"), ("orders_total", None)}
    exemplar = marked[f"{names.SPAN_DURATION}_bucket", "0.5"]
    assert exemplar.labels == {"trace_id": f"{TRACE:032x}", "span_id": f"{SPAN:016x}"}
    assert (exemplar.value, float(exemplar.timestamp)) == (0.3, 1700000000.5)
    assert " # " not in write(duration(exemplars=seen), orders)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_target_info_is_the_resource_without_what_differs_between_workers(openmetrics):
    target = {"service.name": "shop", "service.instance.id": "1", "process.pid": 7, "host.name": 'a"b'}
    text = write(openmetrics=openmetrics, target=target)
    sample = next(s for f in read(text, openmetrics).values() for s in f.samples)
    assert (sample.name, sample.labels, sample.value) == (
        "target_info", {"service_name": "shop", "host_name": 'a"b'}, 1.0,
    )  # fmt: skip


def test_the_second_scrape_says_the_same_from_kept_texts():
    exposition = Exposition()
    families = [duration(), family(series={("a",): (2.0,)})]
    first = "".join(exposition.render(families))
    assert "".join(exposition.render(families)) == first


def test_texts_of_series_that_went_are_forgotten():
    exposition = Exposition()
    for start in range(0, 20_000, 1_000):
        list(
            exposition.render(
                [family("heat", "gauge", series={(str(start + n),): (1.0,) for n in range(1_000)})]
            )
        )
    assert sum(map(len, exposition._texts.values())) <= 4_000


def test_a_large_family_comes_in_slices():
    series = {(str(n),): (1.0, 0.0, 0.0, 0.0, 0.05) for n in range(SLICE * 3)}
    pieces = list(Exposition().render([family("seconds", "histogram", series=series)]))
    assert len([piece for piece in pieces if piece]) == 4
    assert len(read("".join(pieces))["seconds"].samples) == SLICE * 3 * 6


def test_promtool_finds_nothing_in_slotels_own_names():
    counters = [
        names.SPAN_CALLS,
        names.SLO_EVENTS,
        names.SENTRY_ERRORS,
        names.DROPPED,
        names.STAGE_ERRORS,
        names.TAG_VIOLATIONS,
        names.SERIES_OVERFLOW,
    ]
    gauges = [
        names.BUDGET_LIMIT,
        names.BUDGET_ERROR,
        names.BUDGET_BURN,
        names.BUDGET_REMAINING,
        names.BUDGET_EXHAUSTION,
        names.BUILD_INFO,
    ]
    families = [duration()]
    families += [family(name, series={("a",): (1.0,)}) for name in counters]
    families += [family(name, "gauge", series={("a",): (1.0,)}) for name in gauges]
    assert check_metrics(write(*families, target={"service.name": "shop"})) == ""
