"""Many services through one collector: none overwrites another's series, each has its own policy, none is counted twice."""

import socket
import sys

import pytest

from slotel.compile.collector.policy import policy_file
from slotel.config.service import Service
from slotel.config.tags import TagPolicy, TagRule
from support.launch import Launched, wait_until
from support.otelcol import Collector, alert
from support.otlp import Log, Sent, counter_request, log_request, post, request
from support.prom import Prometheus

CALLS = "traces_span_metrics_calls_total"
COUNT = "traces_span_metrics_duration_seconds_count"
LIMIT = 10

CHECKOUT = TagPolicy(
    required={"team": TagRule(default="payments")}, redact=("iban",), metric_labels=("team",)
)
CART = TagPolicy(set={"region": "eu"}, required={"tier": TagRule(allowed=("free", "pro"))}, redact=("*.pin",))


@pytest.fixture(scope="module")
def running(otelcol, sink, tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    policy = folder / "policy.yaml"
    policy.write_text(policy_file([Service("checkout", CHECKOUT), Service("cart", CART)], "a test"))
    env = {"SENTRY_OTLP_TRACES_URL": sink.url, "SPAN_METRICS_LIMIT": str(LIMIT), "OTELCOL_HOST": "0.0.0.0"}
    with Collector(otelcol, folder / "state", "otel-collector.yaml", policy, env=env) as running:
        yield running


def arrived(sink, *names):
    return wait_until(
        lambda: (
            [span for span in sink.spans if span.name in names]
            if len({span.name for span in sink.spans if span.name in names}) == len(names)
            else None
        ),
        f"{names} at the sink",
    )


@pytest.mark.parametrize("services", [2, 3, 7])
def test_services_over_their_limit_keep_their_names_and_every_span_is_counted(running, tmp_path, services):
    names = [f"crawled-{services}-{number}" for number in range(services)]
    for index, name in enumerate(names):
        spans = [Sent(name=f"GET /{number}") for number in range(100 + index)]
        assert post(running.otlp, request(spans, {"service.name": name})) == 200
    for metric in (CALLS, COUNT):
        wait_until(
            lambda metric=metric: (
                [running.metric(metric, service_name=name) for name in names]
                == [100 + index for index in range(services)]
            ),
            f"{metric} has every span under its service",
        )
        assert [len(running.samples(metric, service_name=name)) for name in names] == [LIMIT + 1] * services
    with Prometheus(tmp_path / "prometheus", {"spans": [f"127.0.0.1:{running.prometheus_port}"]}) as store:
        store.wait(f'sum({CALLS}{{service_name=~"crawled-{services}-.*"}})', sum(range(100, 100 + services)))
        overflowing = store.query(f'count by (service_name) ({CALLS}{{otel_metric_overflow="true"}})')
        assert set(names) <= {series["metric"]["service_name"] for series in overflowing}


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        ({"service.name": 42}, "42"),
        ({"service.name": True}, "true"),
        ({"service.name": 1.5}, "1.5"),
        ({"service.name": ""}, "unknown_service"),
        ({}, "unknown_service"),
    ],
)
def test_any_scalar_is_a_services_name(running, given, counted):
    name = f"named {given}"
    assert post(running.otlp, request([Sent(name=name)], given)) == 200
    wait_until(lambda: running.metric(CALLS, span_name=name, service_name=counted) == 1, "it is counted")


@pytest.mark.parametrize(
    "resource",
    [
        {"telemetry.distro.name": "slotel"},
        {"telemetry.distro.name": "acme", "slotel.measured": True},
        {"telemetry.distro.name": "slotel", "slotel.measured": True},
    ],
)
def test_who_measures_itself_is_not_counted_again_whatever_its_distribution_is_called(
    running, sink, resource
):
    name = f"measured {resource}"
    assert post(running.otlp, request([Sent(name=name)], {"service.name": "own", **resource})) == 200
    assert post(running.otlp, request([Sent(name=f"{name} then")])) == 200
    arrived(sink, name)
    wait_until(lambda: running.metric(CALLS, span_name=f"{name} then") == 1, "what came later is counted")
    assert running.metric(CALLS, service_name="own") == 0


def test_each_services_rules_apply_to_its_own_spans_and_what_is_redacted_to_all(running, sink):
    attributes = {"iban": "DE02", "card.pin": "1234", "tier": "gold", "team": "ops"}
    for service in ("checkout", "cart", "other"):
        sent = Sent(name=f"ruled {service}", attributes=attributes)
        assert post(running.otlp, request([sent], {"service.name": service})) == 200
    found = {
        span.name: span.attributes for span in arrived(sink, "ruled checkout", "ruled cart", "ruled other")
    }
    secret = {"iban": "[Filtered]", "card.pin": "[Filtered]", "team": "ops"}
    assert found == {
        "ruled checkout": {**secret, "tier": "gold"},
        "ruled cart": {**secret, "tier": "unknown", "region": "eu"},
        "ruled other": {**secret, "tier": "gold"},
    }


def test_a_tag_is_a_label_of_the_services_that_list_it_and_of_no_other(running):
    for service in ("checkout", "other"):
        sent = Sent(name=f"labelled {service}", attributes={"team": "ops"})
        resource = {"service.name": service, "team": "resource"}
        assert post(running.otlp, request([sent], resource)) == 200
    for service, label in (("checkout", {"team": "ops"}), ("other", {})):
        [(labels, _)] = wait_until(
            lambda service=service: running.samples(CALLS, span_name=f"labelled {service}"), "it is counted"
        )
        assert {name: value for name, value in labels.items() if name == "team"} == label


@pytest.mark.parametrize(
    "identities",
    [
        [{"service.instance.id": "a"}, {"service.instance.id": "b"}],
        [{"host.name": "h", "process.pid": 1}, {"host.name": "h", "process.pid": 2}],
        [{"container.id": "c1", "host.name": "h", "process.pid": 1}, {"container.id": "c2", "host.name": "h", "process.pid": 1}],
        [{"k8s.pod.uid": "u1", "container.id": "c"}, {"k8s.pod.uid": "u2", "container.id": "c"}],
    ],
    ids=lambda identities: "+".join(identities[0]),
)  # fmt: skip
def test_replicas_are_told_apart_by_what_their_resource_says(running, identities):
    name = "told_" + "_".join(key.replace(".", "_") for key in identities[0])
    for value, identity in zip((100, 7), identities, strict=True):
        assert post(running.otlp, counter_request(name, value, {"service.name": "twins", **identity}), path="/v1/metrics") == 200  # fmt: skip
    wait_until(lambda: running.metric(f"{name}_total") == 107, "both replicas' counts")
    assert len({labels["instance"] for labels, _ in running.samples(f"{name}_total")}) == 2


def test_replicas_that_say_nothing_are_told_apart_by_their_address(running):
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = "127.0.0.1"
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    body = counter_request("addressed", 3, {"service.name": "twins"})
    assert post(f"http://{address}:{running.http_port}", body, path="/v1/metrics") == 200
    wait_until(
        lambda: running.metric("addressed_total", instance=address) == 3,
        "the sender's address is its instance",
    )


def test_replicas_that_nothing_tells_apart_are_refused_with_a_line_and_a_metric(running):
    for value in (100, 7):
        body = counter_request("indistinct", value, {"service.name": "twins"})
        assert post(running.otlp, body, path="/v1/metrics") == 200
    refused = "debug/refused_no_service_instance_id"
    wait_until(
        lambda: running.metric("otelcol_exporter_sent_metric_points_total", own=True, exporter=refused) >= 2,
        "both data points are counted as refused",
    )
    assert running.said(refused)
    assert running.samples("indistinct_total") == []
    assert refused in alert("CollectorRefusesMetrics")


ONE = {"service.name": "legacy", "service.instance.id": "one"}


def test_a_metric_that_two_instrumentations_have_is_a_series_of_each(running):
    """As HTTP clients that call one another do: requests and urllib3, OkHttp and Netty."""
    for scope, value in (("requests", 6), ("urllib3", 60)):
        body = counter_request("client.calls", value, ONE, scope=scope)
        assert post(running.otlp, body, path="/v1/metrics") == 200
    expected = {"requests": 6, "urllib3": 60}
    wait_until(
        lambda: {
            labels["otel_scope_name"]: value for labels, value in running.samples("client_calls_total")
        } == expected,
        "the series of both",
    )  # fmt: skip


def test_attributes_that_are_called_as_prometheus_own_labels_are_kept_beside_them(running):
    body = counter_request("cleanups", 3, ONE, {"job": "nightly", "instance": "i9"})
    assert post(running.otlp, body, path="/v1/metrics") == 200
    [(labels, value)] = wait_until(lambda: running.samples("cleanups_total"), "the series")
    assert value == 3
    assert labels == {
        "job": "legacy",
        "instance": "one",
        "exported_job": "nightly",
        "exported_instance": "i9",
    }


def test_differences_are_added_up_also_where_a_series_had_none_for_an_interval(running):
    """`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta`: a series without news is not in an export."""
    for value in (5, 7, 3):
        body = counter_request("differences", value, ONE, delta=True)
        assert post(running.otlp, body, path="/v1/metrics") == 200
    wait_until(lambda: running.metric("differences_total") == 15, "the sum of all")


@pytest.mark.parametrize(
    "attributes",
    [
        "telemetry.distro.name=acme",
        "slotel.measured=",
        "telemetry.distro.name=acme,service.name=4242,slotel.measured=no",
    ],
)
def test_a_process_under_slotel_is_counted_once_whatever_its_resource_attributes_say(
    running, sink, attributes
):
    """By itself, in its own /metrics; the collector sends its traces on and does not count them."""
    name = f"own-{len(attributes)}"
    env = {
        "OTEL_RESOURCE_ATTRIBUTES": attributes,
        "OTEL_SERVICE_NAME": name,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    if "service.name" in attributes:
        env["OTEL_SERVICE_NAME"], name = "", "4242"
    env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": running.otlp}
    with Launched(sys.executable, "flask_app.py", env=env) as service:
        service.wait_ready()
        for _ in range(3):
            assert service.get("/ok")[0] == 200
        wait_until(
            lambda: (
                len([span for span in sink.spans if span.service == name and span.name == "GET /ok"]) == 3
            ),
            "the three traces at the sink",
        )
        own = sum(
            value for labels, value in service.samples(CALLS) if labels["span_name"] == "GET /ok"
        )  # fmt: skip
        assert own == 3
    assert post(running.otlp, request([Sent(name=f"after {name}")])) == 200
    wait_until(lambda: running.metric(CALLS, span_name=f"after {name}") == 1, "what came later is counted")
    assert running.metric(CALLS, service_name=name) == 0


def test_logs_go_by_an_agent_and_a_gateway_tagged_and_without_secrets(otelcol, sink, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_file([Service("checkout", CHECKOUT), Service("cart", CART)], "a test"))
    gateway_env = {"SENTRY_OTLP_TRACES_URL": sink.url, "SENTRY_OTLP_LOGS_URL": sink.logs_url}
    with Collector(
        otelcol, tmp_path / "gateway", "gateway.yaml", "gateway-logs.yaml", env=gateway_env
    ) as gateway:
        resolver = f"{{static: {{hostnames: ['127.0.0.1:{gateway.grpc_port}']}}}}"
        with Collector(
            otelcol,
            tmp_path / "agent",
            "agent.yaml",
            policy,
            "agent-logs.yaml",
            env={"GATEWAY_RESOLVER": resolver},
        ) as agent:
            trace_id, span_id = bytes(range(16)), bytes(range(8))
            log = Log(
                "paid, password=hunter2", {"iban": "DE02", "tier": "gold"}, trace_id=trace_id, span_id=span_id
            )
            for name in ("checkout", "cart"):
                assert post(agent.otlp, log_request([log], {"service.name": name}), path="/v1/logs") == 200
            found = wait_until(
                lambda: (
                    {each.resource["service.name"]: each for each in sink.logs}
                    if len(sink.logs) == 2
                    else None
                ),
                "both logs at the sink",
            )
    secret = {"iban": "[Filtered]"}
    assert found["checkout"].attributes == {**secret, "tier": "gold", "team": "payments"}
    assert found["cart"].attributes == {**secret, "tier": "unknown", "region": "eu"}
    for each in found.values():
        assert (each.body, each.trace_id, each.span_id) == ("paid, password=[Filtered]", trace_id, span_id)
