"""The redactor on attributes, nested data, events, log records and metric data."""

from collections import Counter

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from slotel.config.redaction.values import RedactionChoices
from slotel.config.tags import TagPolicy, TagRule
from slotel.runtime.metrics.instruments.redacted_data import redacted_data
from slotel.runtime.metrics.scrape.sources.conversion import Conversion
from slotel.runtime.metrics.scrape.sources.redacted import RedactedFamilies
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.redaction.log_records import enforcing
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.upstream.otel import logs as otel_logs

GONE = "[Filtered]"
URL, CLEAN = "https://u:p@h/?token=x", f"https://{GONE}@h/?token={GONE}"


@pytest.fixture
def enforcer():
    return Enforcer(TagPolicy(redact=("*.pin",)), lambda tag, action: None)


def test_every_part_of_a_span_is_redacted_and_types_are_kept(enforcer):
    link = Link(SpanContext(1, 2, True, TraceFlags(1)), {"u": URL})
    span = ReadableSpan(
        name=f"GET {URL}",
        resource=Resource({"deploy": URL, "api.token": "t", "service.name": "shop"}),
        attributes={
            "http.request.header.authorization": ("Bearer a", "Bearer b"),
            "many": ("a", URL),
            "numbers": (1, 2),
            "card": 4111111111111111,
            "port": 8080,
            "ok": True,
            "note": URL,
        },
        events=[Event(f"see {URL}", {"password": "x", "n": 1})],
        links=[link],
        status=Status(StatusCode.ERROR, f"cannot reach {URL}"),
    )
    sent = enforcer.span(span, {"hint": URL})
    assert sent.name == f"GET {CLEAN}"
    assert dict(sent.resource.attributes) == {"deploy": CLEAN, "api.token": GONE, "service.name": "shop"}
    assert dict(sent.attributes) == {
        "http.request.header.authorization": (GONE, GONE),
        "many": ("a", CLEAN),
        "numbers": (1, 2),
        "card": GONE,
        "port": 8080,
        "ok": True,
        "note": CLEAN,
        "hint": CLEAN,
    }
    assert (sent.events[0].name, dict(sent.events[0].attributes)) == (
        f"see {CLEAN}",
        {"password": GONE, "n": 1},
    )
    assert dict(sent.links[0].attributes) == {"u": CLEAN}
    assert sent.status.description == f"cannot reach {CLEAN}"
    assert enforcer.span(span, {}).resource is sent.resource
    assert span.name == f"GET {URL}"


def test_what_upstream_has_hidden_stays(enforcer):
    attributes = {
        "http.request.header.authorization": ("[REDACTED]",),
        "token": "***",
        "url": "https://u:***@h/",
    }
    assert enforcer.redactor.attributes(dict(attributes)) == attributes


def test_a_glob_matches_nested_data_by_its_path(enforcer):
    data = {"card": {"pin": 1, "name": "x"}, "pin": 2, "list": [{"card": {"pin": 3}}]}
    assert enforcer.redactor.data(data) == {
        "card": {"pin": GONE, "name": "x"}, "pin": 2, "list": [{"card": {"pin": GONE}}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "system", "kept", "parameterised"),
    [
        ("SELECT 1 FROM t WHERE x = 'it''s' AND y = 2.5", "postgresql", None, "SELECT ? FROM t WHERE x = ? AND y = ?"),
        ('SELECT a1, "b2" FROM t3 WHERE id = %s', "postgresql", None, None),
        ("INSERT INTO t VALUES (E'a\\'b', X'00', $$c$$, -7)", "postgresql", None, "INSERT INTO t VALUES (?, ?, ?, ?)"),
        ('SELECT "x" FROM t', "mysql", None, "SELECT ? FROM t"),
        ("CREATE USER bob PASSWORD 'hunter2'", "postgresql", f"CREATE USER bob PASSWORD '{GONE}'", "CREATE USER bob PASSWORD ?"),
        ("CREATE USER bob IDENTIFIED BY 'hunter2'", "mysql", f"CREATE USER bob IDENTIFIED BY '{GONE}'", "CREATE USER bob IDENTIFIED BY ?"),
        ("AUTH default hunter2", "redis", f"AUTH {GONE}", "AUTH ?"),
        ("AUTH ?", "redis", None, None),
        ("CONFIG SET requirepass hunter2", "redis", f"CONFIG SET requirepass {GONE}", "CONFIG ? ? ?"),
        ("SET cart:1 x", "redis", None, "SET ? ?"),
        ("UPDATE u SET password='hunter2'", "", f"UPDATE u SET password='{GONE}'", "UPDATE u SET password=?"),
        ("SELECT 'unfinished", "", None, "SELECT ?"),
    ],
)  # fmt: skip
def test_a_statement_loses_its_credentials_and_its_literals_where_that_is_chosen(
    statement, system, kept, parameterised
):
    given = {"db.system": system, "db.statement": statement}
    assert Redactor().attributes(given)["db.statement"] == (kept or statement)
    choices = RedactionChoices(sql="parameterise")
    assert Redactor(choices=choices).attributes(given)["db.statement"] == (parameterised or statement)


def test_a_messages_parameters_are_secrets_if_the_message_says_so(enforcer):
    entry = {
        "message": "login password=%s of %s",
        "params": ["hunter22", "bob"],
        "formatted": "login password=hunter22 of bob",
    }
    assert enforcer.event({"logentry": entry})["logentry"] == {
        "message": "login password=%s of %s", "params": [GONE, "bob"], "formatted": f"login password={GONE} of bob",
    }  # fmt: skip
    log = {"body": "token=hunter22", "attributes": {"sentry.message.parameter.0": "hunter22", "other": 1}}
    assert enforcer.item("log", {"items": [log]}) == {
        "items": [{"body": f"token={GONE}", "attributes": {"sentry.message.parameter.0": GONE, "other": 1}}]
    }


def test_the_name_of_a_context_is_no_key_of_a_secret(enforcer):
    event = {"contexts": {"auth": {"step": 1, "accessToken": "x"}}}
    assert enforcer.event(event)["contexts"] == {"auth": {"step": 1, "accessToken": GONE}}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("redact", {"sys.argv": ["run", f"--password={GONE}", "--token", GONE, "-v"], "x": 1}),
        ("drop", {"x": 1}),
        ("keep", {"sys.argv": ["run", "--password=p", "--token", "t", "-v"], "x": 1}),
    ],
)
def test_the_command_line_is_redacted_dropped_or_kept(argv, expected):
    enforcer = Enforcer(TagPolicy(), lambda tag, action: None, choices=RedactionChoices(argv=argv))
    event = {"extra": {"sys.argv": ["run", "--password=p", "--token", "t", "-v"], "x": 1}}
    assert enforcer.event(event)["extra"] == expected


def test_source_lines_lose_literals_and_keep_code(enforcer):
    frame = {
        "context_line": "    password = 'hunter2'",
        "pre_context": ["def login(password=None):", "    token = self.token  # https://u:p@h/"],
        "post_context": ["    return check(password=password)"],
        "vars": {"password": "'x'", "self": "<Login user='bob' password='x'>"},
    }
    event = enforcer.event({"exception": {"values": [{"value": URL, "stacktrace": {"frames": [frame]}}]}})
    (value,) = event["exception"]["values"]
    assert value["value"] == CLEAN
    assert value["stacktrace"]["frames"] == [
        {
            "context_line": f"    password = '{GONE}'",
            "pre_context": ["def login(password=None):", f"    token = self.token  # https://{GONE}@h/"],
            "post_context": ["    return check(password=password)"],
            "vars": {"password": GONE, "self": f"<Login user='bob' password='{GONE}'>"},
        }
    ]


def test_log_records_are_redacted_before_the_processors_that_stand(enforcer):
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(Resource({"deploy": URL}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    assert otel_logs.redact_before_processors(provider, enforcing(enforcer, lambda _: {}, lambda error: None))
    provider.get_logger("test").emit(
        body=f"see {URL}", attributes={"password": "x", "n": 1, "deep": {"token": "t"}}
    )
    (found,) = exporter.get_finished_logs()
    assert found.log_record.body == f"see {CLEAN}"
    assert dict(found.log_record.attributes) == {"password": GONE, "n": 1, "deep": {"token": GONE}}
    assert found.resource.attributes["deploy"] == CLEAN


def test_a_log_record_carries_the_tags_that_a_span_of_its_request_carries():
    policy = TagPolicy(
        set={"region": "eu"},
        required={"team": TagRule(default="payments"), "tier": TagRule(allowed=("free", "pro"))},
    )
    enforcer, exporter = Enforcer(policy, lambda tag, action: None), InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    tags = enforcing(enforcer, lambda span_id: {"team": f"of {span_id}"}, lambda error: None)
    otel_logs.redact_before_processors(provider, tags)
    context = set_span_in_context(NonRecordingSpan(SpanContext(1, 7, is_remote=False)))
    provider.get_logger("test").emit(body="x", attributes={"tier": "gold"}, context=context)
    provider.get_logger("test").emit(body="x", context=Context())
    within, outside = (dict(each.log_record.attributes) for each in exporter.get_finished_logs())
    span = enforcer.span(ReadableSpan("x", attributes={"tier": "gold"}), {"team": "of 7"})
    assert within == dict(span.attributes) == {"region": "eu", "team": "of 7", "tier": "unknown"}
    assert outside == {"region": "eu", "team": "payments", "tier": "unknown"}


def test_a_log_record_that_cannot_be_redacted_loses_what_it_says(enforcer, monkeypatch):
    exporter, faults = InMemoryLogRecordExporter(), []
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    otel_logs.redact_before_processors(provider, enforcing(enforcer, lambda _: {}, faults.append))
    monkeypatch.setattr(enforcer.redactor, "data", lambda *_: 1 / 0)
    provider.get_logger("test").emit(body=f"see {URL}", attributes={"n": 1})
    (found,) = exporter.get_finished_logs()
    assert (found.log_record.body, dict(found.log_record.attributes or {})) == (None, {})
    assert len(faults) == 1


def metric_data():
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    counter, histogram, gauge = (
        meter.create_counter("logins"),
        meter.create_histogram("wait"),
        meter.create_gauge("load"),
    )
    for number, token in enumerate(("a", "b", "c"), 1):
        counter.add(number, {"token": token, "kind": "x"})
        histogram.record(number, {"url": f"https://u:{token}@h/"})
        gauge.set(number, {"token": token})
    return reader.get_metrics_data()


def test_series_that_only_a_secret_told_apart_are_added_up_for_otlp(enforcer):
    data = redacted_data(metric_data(), enforcer.redactor.attributes, enforcer.resource, lambda error: None)
    found = {
        metric.name: metric.data.data_points for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert [(dict(point.attributes), point.value) for point in found["logins"]] == [
        ({"token": GONE, "kind": "x"}, 6)
    ]
    (wait,) = found["wait"]
    assert (dict(wait.attributes), wait.count, wait.sum, wait.min, wait.max) == (
        {"url": f"https://{GONE}@h/"},
        3,
        6,
        1,
        3,
    )
    assert sum(wait.bucket_counts) == 3
    assert len(found["load"]) == 1


def test_a_metric_that_cannot_be_redacted_is_left_out_alone(enforcer):
    faults = []

    def redact(attributes):
        if "kind" in attributes:
            raise ValueError("broken")
        return attributes

    data = redacted_data(metric_data(), redact, enforcer.resource, faults.append)
    assert [metric.name for metric in data.resource_metrics[0].scope_metrics[0].metrics] == ["wait", "load"]
    assert len(faults) == 1


def test_series_that_only_a_secret_told_apart_are_added_up_for_prometheus(enforcer):
    redact = enforcer.redactor.attributes
    families = {
        family.name: family
        for family in Conversion(lambda _: None, lambda _: None, redact=redact).convert(
            metric_data().resource_metrics[0].scope_metrics
        )
    }
    ((labels, row),) = families["logins"].series.items()
    assert (GONE in labels, "x" in labels, row) == (True, True, (6.0,))
    ((row),) = families["wait"].series.values()
    assert (sum(row[:-1]), row[-1]) == (3, 6)
    assert len(families["load"].series) == 1
    family = Family(
        "own", "counter", "", "", ("token", "n"), (), {("a", "1"): (1.0,), ("b", "1"): (2.0,)}, {}, 0.0
    )
    redacted = RedactedFamilies(redact)
    assert dict(redacted(family).series) == {(GONE, "1"): (3.0,)}
    harmless = Family("own", "counter", "", "", ("n",), (), {("1",): (1.0,)}, {}, 0.0)
    assert redacted(harmless) is harmless


def test_what_is_redacted_is_counted():
    found = Counter()
    redactor = Redactor(found=lambda what: found.update([what]))
    redactor.attributes({"password": "x", "note": f"{URL} 4111111111111111"})
    assert found == {"password": 1, "user": 1, "pair": 1, "card": 1}


def test_ten_thousand_texts_do_not_fill_the_memory():
    redactor = Redactor()
    for number in range(20_000):
        redactor.text(f"order {number}")
        redactor.is_sensitive(f"key{number}")
    assert len(redactor.clean) <= 8_000
    assert redactor._known_key.cache_info().currsize <= 8_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gen_ai.server.time_to_first_token", 0.35), ("gen_ai.server.time_to_first_token", 1),
        ("gen_ai.server.time_to_first_token", 2.0), ("time_per_output_token", 12), ("cost_per_token", 0.0001),
        ("requestsPerSession", 7), ("timeToToken", 7), ("has_password", True), ("remember_token", False),
        ("session", 0.5), ("auth", [True, 0.5]),
    ],
)  # fmt: skip
def test_a_truth_value_and_a_measurement_are_no_secret(key, value):
    redactor = Redactor()
    assert redactor.is_sensitive(key)
    assert redactor.attributes({key: value})[key] is value
    assert redactor.data({"a": {key: value}}) == {"a": {key: value}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cvv", 123), ("card.cvv", 7.0), ("otp", 483920), ("card_number", 4111111111111111), ("token", 123456),
        ("one_time_password", 1), ("card_number", 4.111111111111111e15), ("ssn", 78051120), ("password", 0),
        ("time_to_first_token", "0.35"), ("password", "0.5"), ("token", "true"), ("token", [True, 5]),
        ("superPassword", 5),
    ],
)  # fmt: skip
def test_a_whole_number_and_every_text_below_a_sensitive_key_are_hidden(key, value):
    redactor = Redactor()
    assert redactor.is_sensitive(key)
    hidden = [GONE] * len(value) if isinstance(value, list) else GONE
    assert redactor.attributes({key: value})[key] == hidden
    assert redactor.data({"a": {key: value}}) == {"a": {key: hidden}}


def test_what_a_service_names_itself_is_hidden_whatever_it_is():
    redactor = Redactor(["*.salary", "user.is_ill", "time_to_token"])
    assert redactor.attributes({"hr.salary": 0.5, "time_to_token": 1.5}) == {
        "hr.salary": GONE,
        "time_to_token": GONE,
    }
    assert redactor.data({"user": {"is_ill": True}}) == {"user": {"is_ill": GONE}}
