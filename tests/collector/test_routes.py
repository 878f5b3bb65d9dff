"""`spans.drop` and `sentry.sample` mean the same to a service and to the collector: both judge the same random spans."""

import random
from collections import Counter

from slotel.compile.collector.policy import files_of
from slotel.config.sampling import RouteRate, SpanMatch
from slotel.config.service import SentrySettings, Service
from slotel.runtime.tracing.route_rules import RouteRules
from support.launch import wait_until
from support.otelcol import Collector
from support.otlp import OtlpSink, Sent, post, request

SEED = 20261128
CALLS = "traces_span_metrics_calls_total"
COUNT = "traces_span_metrics_duration_seconds_count"
ROUTES = (
    "/healthz",
    "/static/*",
    "/users/{id}",
    "/users/<int:id>/x",
    "*.ico",
    "/a b/ü",
    "/a.b",
    '/q"\\d$',
    "/never?x=1",
    "/{}",
)
NAMES = ("SELECT 1", "ping*", "*\n*", 'odd "$name" (\\d)', "*.beat")
RATES = (
    RouteRate("/healthz", 0),
    RouteRate("/users/{id}", 0.3),
    RouteRate("/users/*", 1),
    RouteRate("/static/*", 0.5),
)
PATHS = (
    "/healthz", "/healthz/", "/Healthz", "/static/", "/static/a/b.css", "/users/7", "/users/", "/users/7/x", "/users/{id}", "/favicon.ico",
    "/a b/ü", "/a.b", "/axb", '/q"\\d$', "/never", "/never?x=1", "/other", "/line\nbreak", "", "/x",
)  # fmt: skip
SPAN_NAMES = (
    "GET",
    "SELECT 1",
    "SELECT 12",
    "ping",
    "ping db\nnow",
    "a\nb",
    'odd "$name" (\\d)',
    "x.beat",
    "xbeat",
    "query",
)
SERVER, INTERNAL, CLIENT, CONSUMER = 2, 1, 3, 5
LOCAL_PARENT, REMOTE_PARENT = 256, 768


def spans(dice, number):
    """Random spans, and whether each is the local root of its service."""
    for _ in range(number):
        attributes = {
            key: dice.choice(PATHS) + dice.choice(["", "", "?", "?a=/b&c=1", "?/healthz"])
            for key in ("url.path", "http.target", "http.route")
            if dice.random() < 0.4
        }
        kind = dice.choice([SERVER, INTERNAL, CLIENT, CONSUMER])
        above, flags, is_local_root = dice.choice(
            [
                (b"", 0, True),
                (b"", LOCAL_PARENT, True),
                (b"12345678", REMOTE_PARENT | 1, True),
                (b"12345678", LOCAL_PARENT | 1, False),
                (b"12345678", 0, kind in (SERVER, CONSUMER)),  # an exporter that does not say
            ]
        )
        name = dice.choice(SPAN_NAMES)
        yield Sent(name=name, attributes=attributes, kind=kind, parent_id=above, flags=flags), is_local_root


def written(folder, service):
    other = Service("cart", drop=(SpanMatch(name="cart only"),))
    paths = []
    for path, text in files_of([service, other], "a test").items():
        paths.append(folder / path.rpartition("/")[2])
        paths[-1].write_text(text)
    return paths


def test_what_a_service_drops_the_collector_neither_counts_nor_sends_on_and_all_else_it_counts(
    otelcol, tmp_path
):
    matches = (*(SpanMatch(route=each) for each in ROUTES), *(SpanMatch(name=each) for each in NAMES))
    [policy] = written(tmp_path, Service("shop", drop=matches))
    rules = RouteRules([], matches)
    sent = list(spans(random.Random(SEED), 3000))
    kept = [
        span
        for span, is_local_root in sent
        if not rules.is_dropped(span.name, span.attributes, is_local_root=is_local_root)
    ]
    assert 500 < len(kept) < 2500
    with (
        OtlpSink() as sink,
        Collector(
            otelcol,
            tmp_path / "state",
            "otel-collector.yaml",
            policy,
            env={"SENTRY_OTLP_TRACES_URL": sink.url},
        ) as running,
    ):
        others = [Sent(name="SELECT 1", attributes={"url.path": "/healthz"}) for _ in range(7)]
        assert post(running.otlp, request(others, {"service.name": "other"})) == 200
        for start in range(0, len(sent), 500):
            body = request([span for span, _ in sent[start : start + 500]], {"service.name": "shop"})
            assert post(running.otlp, body) == 200
        expected = {span.span_id for span in (*kept, *others)}
        wait_until(lambda: {span.span_id for span in sink.spans} >= expected, "the spans that are kept")
        surplus = [span for span in sink.spans if span.span_id not in expected]
        assert not surplus, surplus[:5]
        for metric in (CALLS, COUNT):
            wait_until(
                lambda metric=metric: running.metric(metric, service_name="shop") == len(kept),
                f"{len(kept)} of {len(sent)} spans in {metric}",
            )
            assert running.metric(metric, service_name="other") == 7
        dropped = running.metric(
            "otelcol_processor_filter_spans_filtered_total", own=True, filter="filter/dropped"
        )
        assert dropped == len(sent) - len(kept)


def test_a_gateway_keeps_the_traces_that_a_service_would_sample_and_every_error(otelcol, tmp_path):
    _, sampling = written(tmp_path, Service("shop", sentry=SentrySettings(sample=RATES)))
    rules = RouteRules(RATES, [])
    dice = random.Random(SEED)
    roots = [
        Sent(name="GET", attributes={"url.path": dice.choice(PATHS)}, error=dice.random() < 0.1)
        for _ in range(600)
    ]
    said = {
        root.trace_id: rules.is_sampled(int.from_bytes(root.trace_id, "big"), root.attributes)
        for root in roots
    }
    assert min(Counter(said.values()).values()) > 50, "some of each decision"
    # The baseline is everything: it must not bring in what a rule has refused.
    expected = {root.trace_id for root in roots if root.error or said[root.trace_id] is not False}
    env = {"TAIL_BASELINE_PERCENT": "100", "TAIL_WAIT": "2s"}
    with (
        OtlpSink() as sink,
        Collector(
            otelcol,
            tmp_path / "state",
            "gateway.yaml",
            sampling,
            env={**env, "SENTRY_OTLP_TRACES_URL": sink.url},
        ) as running,
    ):
        children = [
            Sent(name="query", kind=CLIENT, trace_id=each.trace_id, parent_id=each.span_id) for each in roots
        ]
        for each in (children, roots):  # as they end: the root is the last
            assert post(running.otlp, request(each, {"service.name": "shop"})) == 200
        wait_until(
            lambda: {key for key, spans in sink.traces().items() if len(spans) == 2} >= expected,
            "the traces that are kept, whole",
        )
        wait_until(
            lambda: (
                running.metric("otelcol_processor_tail_sampling_sampling_traces_on_memory", own=True) == 0
            ),
            "all others are let go",
        )
        assert set(sink.traces()) == expected
        assert "error" not in running.log.lower()
