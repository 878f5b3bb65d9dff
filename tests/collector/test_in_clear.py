"""What holds a secret beside the attributes of spans and events: each place is redacted, by every key that hides one."""

import json

import pytest

from slotel.compile.collector.policy import policy_file
from slotel.config.service import Service
from slotel.config.tags import TagPolicy, TagRule
from support.launch import wait_until
from support.otelcol import Collector
from support.otlp import Log, Sent, counter_request, log_request, post, request

SECRET = "hunter2"
URL = f"https://me:{SECRET}@shop.test/?token={SECRET}&page=2"
CLEAN_URL = "https://[Filtered]@shop.test/?token=[Filtered]&page=2"
POLICY = TagPolicy(required={"team": TagRule(default="none")}, redact=("iban",), metric_labels=("team",))


@pytest.fixture(scope="module")
def running(otelcol, sink, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clear")
    policy = folder / "policy.yaml"
    policy.write_text(policy_file([Service("checkout", POLICY)], "a test"))
    env = {"SENTRY_OTLP_TRACES_URL": sink.url, "SENTRY_OTLP_LOGS_URL": sink.logs_url}
    files = ("otel-collector.yaml", "logs.yaml", policy)
    with Collector(otelcol, folder / "state", *files, env=env) as running:
        yield running
        assert "failed to execute statement" not in running.log
        assert SECRET not in running.log


def sent(running, sink, span, resource=None, scope=None):
    """The span as the sink has it."""
    assert post(running.otlp, request([span], resource or {"service.name": "checkout"}, scope)) == 200
    [found] = wait_until(
        lambda: [item for item in sink.spans if item.span_id == span.span_id], f"{span.name!r} at the sink"
    )
    return found


def test_the_status_message_beside_a_filtered_exception(running, sink):
    found = sent(running, sink, Sent(name="status", error=True, status=f"refused by {URL}"))
    assert found.status == f"refused by {CLEAN_URL}"


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJl"
TEXTS = {
    "a token by its form": (f"sent {JWT} on", "sent [Filtered] on"),
    "a URL": (f"see {URL}", f"see {CLEAN_URL}"),
    "JSON": (
        f'{{"user": "me", "password": "{SECRET}", "n": 1}}',
        '{"user": "me", "password": "[Filtered]", "n": 1}',
    ),
    "JSON within JSON": (f'{{\\"apiKey\\":\\"{SECRET}\\"}}', '{\\"apiKey\\":\\"[Filtered]\\"}'),
    "a representation": (f"User(name='me', password='{SECRET} x')", "User(name='me', password='[Filtered]')"),
    "a setting": (f"DB_PASSWORD={SECRET} HOST=db", "DB_PASSWORD=[Filtered] HOST=db"),
    "a header": (f"X-Api-Key: {SECRET}", "X-Api-Key: [Filtered]"),
    "hidden already": ("password=[Filtered]&a=1", "password=[Filtered]&a=1"),
    "no secret": ("monkey=1 tokens: 17 keyboard: qwerty", "monkey=1 tokens: 17 keyboard: qwerty"),
}


@pytest.mark.parametrize(("given", "clean"), TEXTS.values(), ids=TEXTS)
def test_texts_wherever_they_stand(running, sink, given, clean):
    span = Sent(
        name=given, status=given, error=True, attributes={"note": given}, events=[("e", {"note": given})]
    )
    found = sent(running, sink, span)
    shown = [found.name, found.status, found.attributes["note"], found.events[0][1]["note"]]
    assert shown == [clean] * 4


@pytest.mark.parametrize("value", ["[Filtered]", "***", "", "[REDACTED]"])
def test_what_somebody_has_hidden_already_stays_as_it_is(running, sink, value):
    assert (
        sent(running, sink, Sent(name="hidden", attributes={"password": value})).attributes["password"]
        == value
    )


NESTED = {
    "in a map": ({"db": {"user": "me", "password": SECRET}}, {"db.user": "me", "db.password": "[Filtered]"}),
    "two maps deep": ({"a": {"b": {"iban": SECRET}, "c": 1}}, {"a.b.iban": "[Filtered]", "a.c": 1}),
    "in a list of maps": (
        {"cards": [{"api_key": SECRET, "kind": "x"}]},
        {"cards.0.api_key": "[Filtered]", "cards.0.kind": "x"},
    ),
    "a map under a secret key": ({"a": {"token": {"x": SECRET}}}, {"a.token.x": "[Filtered]"}),
    "a map that is itself a secret": ({"token": {"x": SECRET}}, {"token": "[Filtered]"}),
    "a dot in a nested key": ({"a": {"b.password": SECRET}}, {"a.b.password": "[Filtered]"}),
}


@pytest.mark.parametrize(("given", "clean"), NESTED.values(), ids=NESTED)
def test_maps_are_flattened_where_they_hold_a_secret(running, sink, given, clean):
    found = sent(running, sink, Sent(name="nested", attributes=given, events=[("e", given)]))
    assert found.attributes == {**clean, "team": "none"}
    assert found.events == [("e", clean)]


@pytest.mark.parametrize(
    "given",
    [
        {"list": ("a", "b")},
        {"map": {"x": {"y": 1}}, "list": (1, 2)},
        {"user.iban.note": "kept", "m": {"a": 1}},
    ],
)
def test_maps_and_lists_without_a_secret_stay_as_they_are(running, sink, given):
    assert sent(running, sink, Sent(name="plain", attributes=given)).attributes == {**given, "team": "none"}


def test_the_second_of_two_equal_keys(running, sink):
    twice = [("password", SECRET), ("password", SECRET), ("url.full", URL), ("url.full", URL), ("a", 1)]
    message = sent(running, sink, Sent(name="twice", attributes=twice, events=[("e", twice)]))
    assert SECRET not in json.dumps([message.attributes, message.events])
    assert message.attributes["url.full"] == CLEAN_URL


def test_a_scopes_and_a_resources_attributes(running, sink):
    secrets = {"password": SECRET, "deep": {"token": SECRET}, "kept": "yes"}
    clean = {"password": "[Filtered]", "deep.token": "[Filtered]", "kept": "yes"}
    found = sent(running, sink, Sent(name="scoped"), {"service.name": "checkout", **secrets}, secrets)
    assert found.scope == clean
    assert found.resource == {"service.name": "checkout", **clean}


def test_a_map_as_a_tag_is_no_label_that_shows_its_secret(running, sink):
    found = sent(running, sink, Sent(name="map as tag", attributes={"team": {"password": SECRET}}))
    assert found.attributes == {"team.password": "[Filtered]", "team": "none"}
    calls = "traces_span_metrics_calls_total"
    wait_until(lambda: running.metric(calls, span_name="map as tag", team="none") == 1, "it is counted")
    assert SECRET not in running.scrape()


def test_the_labels_of_metrics_that_come_by_otlp(running):
    labels = {"password": SECRET, "deep": {"token": SECRET}}
    resource = {"service.name": "checkout", "service.instance.id": "i", "secret": SECRET}
    assert post(running.otlp, counter_request("labelled", 1, resource, labels), path="/v1/metrics") == 200
    wait_until(lambda: running.metric("labelled_total") == 1, "the metric is exposed")
    assert SECRET not in running.scrape()


def test_logs(running, sink):
    secrets = {"password": SECRET, "deep": {"token": SECRET}, "url.full": URL}
    bodies = [f"failed at {URL}", {"password": SECRET, "user": {"iban": SECRET, "name": "x"}}, "plain", 7]
    logs = [Log(body=body, attributes=secrets) for body in bodies]
    body = log_request(logs, {"service.name": "checkout", "api_key": SECRET}, {"token": SECRET})
    assert post(running.otlp, body, path="/v1/logs") == 200
    found = wait_until(lambda: sink.logs if len(sink.logs) == len(bodies) else None, "the logs at the sink")
    assert SECRET not in json.dumps([[log.body, log.attributes, log.resource, log.scope] for log in found])
    assert [log.body for log in found] == [
        f"failed at {CLEAN_URL}",
        {"password": "[Filtered]", "user.iban": "[Filtered]", "user.name": "x"},
        "plain",
        7,
    ]
    assert found[0].attributes == {
        "team": "none",
        "password": "[Filtered]",
        "deep.token": "[Filtered]",
        "url.full": CLEAN_URL,
    }
