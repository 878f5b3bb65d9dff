"""The redactor where nobody looks: scopes of instrumentation, names of what was redacted, data that changes later."""

import logging
import subprocess
from collections import Counter, OrderedDict
from types import SimpleNamespace

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from sentry_sdk import Client
from sentry_sdk.transport import Transport
from sentry_sdk.utils import event_from_exception

from slotel.config.tags import TagPolicy
from slotel.runtime.logs import LOG, redact_logs
from slotel.runtime.metrics.instruments.redacted_data import redacted_data
from slotel.runtime.metrics.scrape.sources.conversion import Conversion
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.redaction.events import redacted_item
from slotel.runtime.redaction.log_records import enforcing
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.upstream.otel import logs as otel_logs

GONE = "[Filtered]"
SECRET = {"api_key": "SEK7RETx9", "at": "https://u:SEK7RETx9@h/", "zone": "a"}
CLEAN = {"api_key": GONE, "at": f"https://{GONE}@h/", "zone": "a"}


@pytest.fixture
def enforcer():
    return Enforcer(TagPolicy(), lambda tag, action: None)


def test_the_attributes_of_a_spans_scope_are_redacted(enforcer):
    scope = InstrumentationScope("db", "1", "https://schema.test/1", SECRET)
    given = ReadableSpan("x", instrumentation_scope=scope)
    found = enforcer.span(given, {}).instrumentation_scope
    assert dict(found.attributes) == CLEAN
    assert (found.name, found.version, found.schema_url) == ("db", "1", "https://schema.test/1")
    harmless = ReadableSpan("x", instrumentation_scope=InstrumentationScope("db", "1", None, {"zone": "a"}))
    enforcer.span(harmless, {})  # the resource is seen for the first time
    assert enforcer.span(harmless, {}) is harmless


def test_the_attributes_of_a_meters_scope_are_redacted_for_otlp_and_for_prometheus(enforcer):
    reader = InMemoryMetricReader()
    MeterProvider([reader]).get_meter("db", attributes=SECRET).create_counter("calls").add(1)
    data, redact = reader.get_metrics_data(), enforcer.redactor.attributes
    sent = redacted_data(data, redact, enforcer.resource, lambda error: None)
    (scope,) = sent.resource_metrics[0].scope_metrics
    assert dict(scope.scope.attributes) == CLEAN
    shown = repr(
        Conversion(lambda _: None, lambda _: None, redact=redact).convert(
            data.resource_metrics[0].scope_metrics
        )
    )
    assert "otel_scope_zone" in shown
    assert "SEK7RETx9" not in shown


def test_a_log_records_scope_event_name_and_severity_are_redacted(enforcer):
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    otel_logs.redact_before_processors(provider, enforcing(enforcer, lambda _: {}, lambda error: None))
    logger = provider.get_logger("db", attributes=SECRET)
    logger.emit(body="x", event_name="login token=SEK7RETx9", severity_text="ERROR token=SEK7RETx9")
    logger.emit(body="x", event_name="login", severity_text="ERROR")
    first, second = exporter.get_finished_logs()
    assert dict(first.instrumentation_scope.attributes) == CLEAN
    assert (first.log_record.event_name, first.log_record.severity_text) == (
        f"login token={GONE}", f"ERROR token={GONE}",
    )  # fmt: skip
    assert (second.log_record.event_name, second.log_record.severity_text) == ("login", "ERROR")


def test_a_body_that_the_app_changes_after_it_was_logged_is_exported_as_it_was_redacted(enforcer):
    records = enforcing(enforcer, lambda _: {}, lambda error: None)
    for given in ({"state": "harmless"}, [{"state": "harmless"}]):
        for _ in range(2):  # the second time all of it is known
            record = SimpleNamespace(
                body=given, attributes={}, span_id=0, severity_text=None, event_name=None
            )
            logged = SimpleNamespace(log_record=record, resource=None)
            records(logged)
        body = given if isinstance(given, dict) else given[0]
        body["token"] = "SEK7RETx9"
        assert "SEK7RETx9" not in repr(logged.log_record.body)


def test_redacted_data_shares_no_dict_or_list_with_what_was_given():
    redactor = Redactor()
    given = {"first": {"state": "harmless"}, "many": [{"state": "harmless"}], "plain": "harmless"}
    for _ in range(3):
        redacted = redactor.data(given)
        assert redacted == given
        assert redacted is not given
        assert redacted["first"] is not given["first"]
        assert redacted["many"][0] is not given["many"][0]


def test_what_one_policy_knows_to_be_harmless_another_may_redact():
    given = {"state": "harmless", "box": {"ref": "harmless"}}
    first = Redactor()
    for _ in range(2):
        assert first.data(given) == given
    assert Redactor(("state",)).data(given) == {"state": GONE, "box": {"ref": "harmless"}}
    by_path = Redactor(("box.ref",))
    for _ in range(2):
        assert by_path.data({"ref": "harmless"}) == {"ref": "harmless"}
        assert by_path.data(given) == {"state": "harmless", "box": {"ref": GONE}}
    named = {"name": "state", "value": "harmless"}
    for _ in range(2):
        assert first.data(named) == named
        assert first.data({"name": "api_key", "value": "harmless"})["value"] == GONE


class Text(str):
    """A text of the app's own kind."""

    __slots__ = ()


def test_subclasses_of_str_and_dict_are_redacted_as_what_they_are():
    redactor = Redactor()
    for _ in range(2):
        assert redactor.data({"state": "harmless"}) == {"state": "harmless"}
        found = redactor.data({Text("password"): Text("SEK7RETx9"), Text("note"): Text("token=SEK7RETx9")})
        assert "SEK7RETx9" not in repr(found)
        assert "SEK7RETx9" not in repr(redactor.data(OrderedDict(state="harmless", token="SEK7RETx9")))


@pytest.mark.parametrize(
    "data",
    [
        {"пароль": "SEK7RETx9"}, {"密码": "SEK7RETx9"}, {"كلمة المرور": "SEK7RETx9"}, {"पासवर्ड": "SEK7RETx9"}, {"mật khẩu": "SEK7RETx9"},
        {"ｔｏｋｅｎ": "SEK7RETx9"}, {"pass\u200bword": "SEK7RETx9"}, {"contrasen\u0303a": "SEK7RETx9"}, {"\u202epassword": "SEK7RETx9"},
        {b"token_v2": b"SEK7RETx9"}, {"пароль".encode(): b"SEK7RETx9"}, {"body": '{"пароль": "SEK7RETx9"}'.encode()}, [bytearray("密码=SEK7RETx9".encode())], ["server", "-db-password", "SEK7RETx9", "-v"], ["New-Item", "-Password", "SEK7RETx9"],
        ["aws", "configure", "set", "aws_secret_access_key", "SEK7RETx9"], ("auth", ["SEK7RETx9"]),
        ["useradd", "-p", "SEK7RETx9", "bob"], ["x", "--token", "SEK7RETx9"], ["'x'", "'--token'", "'SEK7RETx9'"], ["b'x'", "b'--token'", "b'SEK7RETx9'"],
        ("AUTH", "default", "SEK7RETx9"), ["'AUTH'", "'default'", "'SEK7RETx9'"], {" token ": "SEK7RETx9"}, {"password\n": "SEK7RETx9"},
        [{"op": "replace", "path": "/password", "value": "SEK7RETx9"}],
    ],
)  # fmt: skip
def test_a_secret_is_found_in_data_whatever_its_key_is_written_in(data):
    for _ in range(2):
        assert "SEK7RETx9" not in repr(REDACTOR.data(data))


REDACTOR = Redactor()


def test_a_command_line_in_a_local_variable_is_redacted_as_sentry_sdk_writes_it():
    """Each text in a list is a representation there; sentry-sdk itself captures the event."""

    class Keep(Transport):
        def capture_envelope(self, envelope):
            captured.append(envelope.items[0].payload.json)

    captured = []
    client = Client("http://a@127.0.0.1:9/1", transport=Keep, default_integrations=False)
    secret = "SEK7"[:4] + "RETx9"  # not in the lines of source code around
    command = ["backup", "--token", secret, "-db-password", secret, "-v"]
    try:
        subprocess.run(["false", *command[1:]], check=True)
    except subprocess.CalledProcessError as error:
        event, hint = event_from_exception(error, client_options=client.options)
        client.capture_event(event, hint)
    (event,) = captured
    event["exception"]["values"][0]["stacktrace"]["frames"][0].pop("vars")  # `secret` itself has no name
    assert secret in repr(event), "as it is captured"
    assert secret not in repr(Enforcer(TagPolicy(), lambda tag, action: None).event(event))


def test_what_a_client_calls_its_keys_makes_a_bounded_number_of_series_and_is_shown_in_none():
    """`slotel_tag_violations_total{tag}` is the key, which may be a text of its own."""
    found = Counter()
    redactor = Redactor(found=lambda what: found.update([what]))
    for number in range(1_000):
        redactor.data({f"k{number}_password": "x", f"https://h/?a={number}SEK7RETx9&y_token": "x"})
    redactor.data({"a sentence with a token": "x", "x" * 65 + "_token": "x"})
    assert "SEK7RETx9" not in repr(found)
    assert len(found) <= 101 + 1  # `pair` of the URL itself
    assert found["k0_password"] == 1
    assert found["key"] == 2_002 - 100


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SECRET_KEY = os.environ.get('SECRET_KEY', 'x')", f"SECRET_KEY = os.environ.get('SECRET_KEY', '{GONE}')"),
        ('password: str = "x"', f'password: str = "{GONE}"'),
        ("API_KEY: Final[str] = 'x'", f"API_KEY: Final[str] = '{GONE}'"),
        ("token = self.token or 'x'", f"token = self.token or '{GONE}'"),
        ("token = get() if a else 'x'", f"token = get() if a else '{GONE}'"),
        ("if password != 'x':", f"if password != '{GONE}':"),
        ("if (token := 'x'):", f"if (token := '{GONE}'):"),
        ("setattr(self, 'password', 'x')", f"setattr(self, 'password', '{GONE}')"),
        ("@click.option('--token', default='x')", f"@click.option('--token', default='{GONE}')"),
        ("password: str = Field(default='x')", f"password: str = Field(default='{GONE}')"),
        ("session.auth = ('bob', 'x')", f"session.auth = ('bob', '{GONE}')"),
        ("password = \"it's-x\"", f'password = "{GONE}"'),
        ('KEY_TOKEN = """x', f'KEY_TOKEN = """{GONE}'),
        ("os.system('curl -u bob:x h')", f"os.system('curl -u bob:{GONE} h')"),
        ("cur.execute(\"ALTER USER u PASSWORD 'x'\")", f"cur.execute(\"ALTER USER u PASSWORD '{GONE}'\")"),
        ("run(['x', '--token', 'x', '-v'])", f"run(['x', '--token', '{GONE}', '-v'])"),
        ("parser.add_argument('--password', '-p', help='x')", None),
        ("getattr(other, 'password', None)", None),
        ("if self.password == getattr(other, 'password', None):", None),
        ("def get_pass(prompt='Password: '):", None),
        ("Permission = apps.get_model('auth', 'Permission')", None),
        ("if token == 'COLLATE' or card_number[0] == '4':", None),
        ("secret_keys = {'accountkey', 'sharedkey'}", None),
        ("@sensitive_variables('password1', 'password2')", None),
        ("fields = ('username', 'password', 'email')", None),
        ("token = request.headers['X-Token']", None),
        ("def login(user, password=None, *, token: str | None = None):", None),
        ("session = requests.Session()", None),
    ],
)  # fmt: skip
def test_a_line_of_source_code_loses_the_secrets_in_it_and_stays_code(line, expected):
    assert REDACTOR.source(line) == (expected or line)
    assert REDACTOR.source(expected or line) == (expected or line)


@pytest.mark.parametrize("name", ["", "b" * 200])
def test_an_option_is_found_however_many_programs_stand_before_it(name):
    for gap in range(900, 1_100, 3):
        for before in ("curl ", "curl " * 40, "mysql curl " * 20):
            text = f"{before}{'a' * gap} curl {'c' * 600} -su {name}:SEK7RETx9 https://h"
            assert "SEK7RETx9" not in REDACTOR.text(text), (gap, before)


def test_no_line_of_slotels_own_log_is_obeyed_by_a_terminal_or_read_as_two(caplog):
    redact_logs(Redactor().text)
    hostile = "a\nERROR slotel: x\r\x1b[2J\x1b]0;t\x07\x9b31m\u202e\u2028\u200b\U000e0041"
    try:
        raise ValueError(hostile)
    except ValueError:
        LOG.exception("said %s", hostile)
    (record,) = caplog.records
    shown = logging.Formatter().format(record)
    assert [each for each in shown if not each.isprintable() and each != "\n"] == []
    assert record.getMessage().startswith(r"said a\nERROR slotel: x\r\x1b[2J")
    assert "\nERROR slotel" not in record.getMessage()


@pytest.mark.parametrize(
    "event",
    [
        {"message": {"message": "token=SEK7RETx9", "formatted": "token=SEK7RETx9"}},
        {"logentry": "token=SEK7RETx9"},
        {"exception": {"type": "E", "value": "token=SEK7RETx9"}},
        {"exception": [{"type": "E", "value": "token=SEK7RETx9"}]},
        {"contexts": [["a", {"token": "SEK7RETx9"}]]},
        {"template": {"context_line": "token=SEK7RETx9"}},
        {"mine": {"token": "SEK7RETx9"}},
        {"exception": {"values": [{"type": "E", "value": {"token": "SEK7RETx9"}}]}},
        {"mine": "token=SEK7RETx9"},
        {"my_token": "SEK7RETx9"},
    ],
    ids=repr,
)
def test_an_event_that_the_app_has_made_by_hand_shows_no_secret(enforcer, event):
    clean = enforcer.item("event", {"event_id": "a" * 32, "level": "error", **event})
    assert "SEK7RETx9" not in repr(clean)
    assert (clean["event_id"], clean["level"]) == ("a" * 32, "error")


def test_keys_of_the_protocol_stay_whatever_keys_an_app_redacts():
    check_in = {"check_in_id": "a" * 32, "monitor_slug": "nightly", "status": "ok", "duration": 1.5}
    event = {"message": "text", "tags": {"a": "b"}, "user": {"name": "x"}, "spans": []}
    redactor = Redactor(("*",))
    assert redacted_item(redactor, "check_in", check_in) == check_in
    assert redacted_item(redactor, "event", event).keys() == event.keys()
    assert redacted_item(redactor, "event", event)["message"] == "text"
