"""HTTP instruments of web frameworks that slotel adds up itself: nobody can tell from what is scraped."""

import json
import os
import random
import re
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.parser import text_string_to_metric_families

from slotel.runtime.metrics.instruments.http_server import HttpServerMetrics, http_server_metrics
from slotel.runtime.metrics.scrape.exposition import Exposition
from slotel.runtime.metrics.scrape.sources.app_metrics import AppMetrics
from support.launch import APPS, LAUNCHER, Launched, clean_environ, wait_until
from support.ports import free_port

BOUNDS = [0.005, 0.1, 1.0]


def measure(provider, seed):
    """Do what instrumentations do, with every kind of attribute set, the keys in any order."""
    meter = provider.get_meter("flask", "0.66", "https://schema.example")
    duration = meter.create_histogram(
        "http.server.request.duration", "s", "Duration.", explicit_bucket_boundaries_advisory=BOUNDS
    )
    size = meter.create_histogram(name="http.server.response.body.size", unit="By", description="Size.")
    active = meter.create_up_down_counter("http.server.active_requests", "{request}", "Active.")
    other = meter.create_histogram("http.client.request.duration", "s", "Not a server's.")
    chance = random.Random(seed)
    tracer = TracerProvider().get_tracer("t")
    for _ in range(200):
        given = {"http.request.method": chance.choice(["GET", "POST"]), "http.response.status_code": 200}
        if chance.random() < 0.5:
            given["http.route"] = chance.choice(["/a", '/"b"'])
        if chance.random() < 0.1:
            given["error.type"] = "500"
        items = list(given.items())
        chance.shuffle(items)
        with tracer.start_as_current_span("request") as span:
            context = trace.set_span_in_context(span)
        value = chance.choice([0, 0.004, 0.005, 0.09, 1, 2.5])
        duration.record(value, dict(items), context=context)
        other.record(value, dict(items))
        size.record(chance.randrange(20_000), dict(items), context=context)
        active.add(chance.choice([1, -1]), dict(items[:1]))
    active.add(2)
    size.record(-1, {})
    return provider


def text(app, *, openmetrics=False):
    return "".join(Exposition().render(app.families(), openmetrics=openmetrics))


def samples(exposition):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def exemplars(app):
    """Each line of a bucket that has one, without the ids and times of this run; a client's have none."""
    lines = text(app, openmetrics=True).splitlines()
    return sorted(re.sub(r"# \{.*\} (\S+) \S+$", r"# \1", line) for line in lines if "# {trace_id" in line)


def scraped(provider, measured):
    meters = http_server_metrics(provider, 2000) if measured == "slotel" else None
    app = AppMetrics(provider, apart=meters.scopes if meters else tuple)
    return app, meters or provider


@pytest.mark.parametrize("seed", range(3))
def test_what_is_scraped_is_what_the_sdk_would_have_added_up(seed):
    own, meters = scraped(MeterProvider(), "slotel")
    sdk, provider = scraped(MeterProvider(), "sdk")
    measure(meters, seed)
    measure(provider, seed)
    assert exemplars(own) == exemplars(sdk) != []  # the SDK's are gone after the first look
    assert samples(text(own)) == samples(text(sdk))


def test_a_span_that_is_not_sampled_leaves_no_exemplar():
    app, meters = scraped(MeterProvider(), "slotel")
    duration = meters.get_meter("flask").create_histogram("http.server.request.duration", "s")
    unsampled = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
    duration.record(0.1, {}, context=trace.set_span_in_context(unsampled))
    assert "trace_id" not in text(app, openmetrics=True)


def test_one_name_in_one_scope_is_one_instrument():
    app, meters = scraped(MeterProvider(), "slotel")
    for _ in range(2):  # two apps in one process
        active = meters.get_meter("flask", "1").create_up_down_counter("http.server.active_requests")
        active.add(1, {})
    assert 'http_server_active_requests{otel_scope_name="flask",otel_scope_version="1"} 2' in text(app)


def test_attribute_sets_are_bounded_and_nothing_is_lost():
    meters = HttpServerMetrics(MeterProvider(), 10)
    app = AppMetrics(MeterProvider(), apart=meters.scopes)
    active = meters.get_meter("flask").create_up_down_counter("http.server.active_requests")
    for number in range(50):
        active.add(1, {"method": f"m{number}"})
    found = samples(text(app))
    assert (len(found), sum(found.values())) == (11, 50)
    assert any(("otel_metric_overflow", "true") in key for key in found)


@pytest.mark.parametrize("odd", [["a", "b"], {"not": "allowed"}, None])
def test_an_attribute_of_an_odd_type_is_measured(odd):
    app, meters = scraped(MeterProvider(), "slotel")
    active = meters.get_meter("flask").create_up_down_counter("http.server.active_requests")
    for _ in range(2):
        active.add(1, {"http.request.header.accept": odd})
    assert list(samples(text(app)).values()) == [2]


def test_threads_lose_nothing():
    app, meters = scraped(MeterProvider(), "slotel")
    active = meters.get_meter("flask").create_up_down_counter("http.server.active_requests")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: [active.add(1, {"m": "GET"}) for _ in range(5000)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert list(samples(text(app)).values()) == [20_000]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_counts_from_zero_and_the_parent_goes_on():
    app, meters = scraped(MeterProvider(), "slotel")
    duration = meters.get_meter("flask").create_histogram("http.server.request.duration", "s")
    duration.record(0.1, {})
    reading, writing = os.pipe()
    if os.fork() == 0:
        duration.record(0.2, {})
        duration.record(0.3, {})
        os.write(
            writing, json.dumps(sum(meters.scopes()[0].metrics[0].data.data_points[0].bucket_counts)).encode()
        )
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == "2"
    os.wait()
    assert 'http_server_request_duration_seconds_count{otel_scope_name="flask"} 1' in text(app)


@pytest.mark.parametrize(
    "provider",
    [
        MeterProvider([InMemoryMetricReader()]),
        MeterProvider(views=[View(instrument_name="http.server.*", attribute_keys=set())]),
        MeterProvider(exemplar_filter=AlwaysOnExemplarFilter()),
    ],
    ids=["another reader", "a view", "other exemplars"],
)
def test_the_sdk_adds_up_where_somebody_else_reads_or_a_view_changes_it(provider):
    assert http_server_metrics(provider, 10) is None


SHOP = ("/ok", "/items/1", "/items/2", "/error", "/nowhere")
ERRORS = ("/plain", "/error/a", "/error/b", "/missing", "/nowhere")


@pytest.mark.parametrize(
    ("folder", "command", "paths"),
    [
        (APPS, ["flask_app.py"], SHOP),
        (APPS, ["fastapi_app.py"], SHOP),
        (APPS / "errors", ["django_app.py"], ERRORS),
        (APPS / "errors", ["django_app.py", "asgi"], ERRORS),
    ],
    ids=["flask", "fastapi", "django", "django asgi"],
)
def test_a_launched_service_shows_the_same_http_metrics_either_way(folder, command, paths):
    def launched(who):
        env = {"SLOTEL_HTTP_METRICS": who, "DJANGO_SETTINGS_MODULE": "django_settings"}
        return Launched(sys.executable, *command, env=env, cwd=folder)

    def complete(service):
        found = {
            key: value
            for key, value in samples(service.scrape()).items()
            if key[0].startswith("http_server_")
            and not {("http_route", "/healthz"), ("http_route", "healthz")} & set(key[1:])
            and not key[0].endswith(("_bucket", "_duration_seconds_sum", "_created"))
        }
        measured = sum(value for key, value in found.items() if key[0].endswith("duration_seconds_count"))
        return found if measured == len(paths) else None

    with launched("slotel") as slotel, launched("sdk") as sdk:
        for service in (slotel, sdk):
            service.wait_ready()
            for path in paths:
                service.get(path)
            # an ASGI app is measured after its answer
            wait_until(lambda service=service: complete(service), "every request is measured")
        with suppress(AssertionError):  # of the last request by each instrument in turn
            wait_until(lambda: complete(slotel) == complete(sdk), "both show the same", 20)
        assert complete(slotel) == complete(sdk)


KINDS = """
import django, fastapi, flask, starlette.applications
from django.core.handlers.wsgi import WSGIHandler
django.setup()
WSGIHandler()  # Django's instrumentation waits for the middleware, when the settings are known
from opentelemetry.instrumentation import django, fastapi, flask, starlette
given = [
    django._DjangoMiddleware._active_request_counter,
    fastapi._InstrumentedFastAPI._instrument_kwargs.get("meter_provider"),
    flask._InstrumentedFlask._meter_provider,
    starlette._InstrumentedStarlette._meter_provider,
]
print(*sorted({type(each).__module__ for each in given}))
"""


@pytest.mark.parametrize(
    ("exporters", "where"),
    [
        ("prometheus", "slotel.runtime.metrics.instruments.http_server"),
        ("prometheus,console", "builtins opentelemetry.sdk.metrics._internal.instrument"),
    ],
)
def test_each_framework_measures_with_slotels_meters_unless_another_exporter_reads(exporters, where):
    variables = {"DJANGO_SETTINGS_MODULE": "django_settings", "OTEL_METRICS_EXPORTER": exporters}
    done = subprocess.run(
        [str(LAUNCHER), sys.executable, "-c", KINDS],
        env=clean_environ(OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()), **variables),
        cwd=APPS / "errors",
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    assert where in done.stdout.splitlines()  # on a busy machine the console's exporter may print before
