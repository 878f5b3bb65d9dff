"""One policy, two enforcers: the same spans through the service's code and through the collector's processors."""

import random
import re
from collections import Counter
from urllib.parse import unquote, unquote_plus

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanKind

from slotel.compile.collector.policy import policy_file
from slotel.config.redaction.keys import is_no_secret, key_test
from slotel.config.service import Service
from slotel.config.tags import TagPolicy, TagRule
from slotel.runtime.redaction.enforcer import Enforcer
from support.launch import wait_until
from support.otelcol import Collector
from support.otlp import OtlpSink, Sent, post, request

POLICY = TagPolicy(
    set={"region": "eu-west-1", "cost$centre": 'R&D "x" ${HOME} \\d $1'},
    required={
        "team": TagRule(default="payments"),
        "tier": TagRule(default="free", allowed=("free", "pro", 'odd "$one"', "ünï")),
        "tenant": TagRule(pattern=r"[a-z0-9-]{1,40}|\w+\.\d{2,3}|(?i:acme)"),
        "plan": TagRule(),
        "user_token": TagRule(default="none", allowed=("a", "b")),
    },
    redact=("iban", "*.pin", "card-*-number", "pass*", "sch$ein", "a.*.b"),
    metric_labels=("team", "zone"),
)
SPANS = 4000
TEXTS = frozenset(
    {"url.full", "http.url", "http.target", "url.query", "http.request.header.referer", "exception.message",
     "exception.stacktrace"}
)  # fmt: skip
"""Keys of texts: there the collector, which cannot look around a match, hides more than the service, never less."""
SEED = 20261123


class Dice(random.Random):
    def text(self) -> str:
        # no @: `a:b@c` alone is an address with a password, which only the service knows (docs/collector.md)
        alphabet = "ab-_.Z9 /\\\"'$%{}()[]*+?|^&=#;:\n\r\tüß✓😀"
        return "".join(self.choices(alphabet, k=self.choice([0, 1, 3, 8, 40])))

    def value(self):
        return self.choice(
            [
                self.text,
                lambda: self.text() + "x" * self.choice([150, 199, 200, 201, 300]),
                lambda: "é" * self.choice([99, 100, 199, 200, 201]),
                lambda: self.choice([True, False]),
                lambda: self.choice([0, 1, -7, 2**40]),
                lambda: self.choice([0.5, 1.25, -3.5]),
                lambda: "free",
                lambda: "line\nbreak\r\n\r\nand more",
            ]
        )()

    def key(self) -> str:
        return self.choice(
            [
                "password", "PassWord", "db.Password", "my_password", "my-password", "passport", "xpassword", "pass",
                "http.request.header.authorization", "http.request.header.Set-Cookie", "authorization.", "token.count",
                "id_token", "token", "Token-", "iban", "IBAN", "my.iban", "card.pin", "pin", "x.y.pin", "card_12_number",
                "card-number", "CARD--NUMBER", "sch$ein", "a.b", "a.x.b", "a..b", "user_token", "http.route", "ünï.pin",
                "api-key", "x.api_key", "apikey2", "secret.", ".secret", "_secret", "with space", 'quote"d', "sel\nect",
                "token_v2", "cvv2", "tv2", "api_token_prod", "SecretPrimary", "пароль", "новыйПароль", "密码", "用户密码2", "şifre", "mdp",
            ]
        )  # fmt: skip

    def url(self) -> str:
        keys = ["token", "%74oken", "TOKEN", "q", "page", "my-password", "a%2eb.pin", "iban", "refresh%5Ftoken", "passe",
                "id+token", "key", "tokens", "", "a[]"]  # fmt: skip

        def pair(*, is_first: bool) -> str:
            form, key = self.choice(["{0}={1}", "{0}", "{0}=", "{0}={1}={1}"]), self.choice(keys)
            kind = "hid" if is_sensitive(unquote_plus(key)) and not is_first else "mark"
            value = self.choice(["v", "1%20x", "a+b", "ü", "é@x"])
            return form.format(key, f"{value}{kind}{self.randrange(10**9)}k")

        separator = self.choice(["&", "&&", "?", ";"])
        query = separator.join(pair(is_first=number == 0) for number in range(self.randrange(5)))
        start = self.choice(
            ["https://shop.test/a", "https://me:pw@shop.test/a", "https://me@h", "//u:p@ss@h:8/x", "/just/path", "", "https://h/a@b",
             "/token=1/x", "mailto:x@y"]
        )  # fmt: skip
        return start + self.choice(["?", "#", "?x#", ""]) + query

    def message(self) -> str:
        words = ["GET", "failed:", "'", '"', "\n", "token=plain", "a?b=c", "<", ">", "ü", "see"]
        urls = [self.url().replace("sch$ein", "").replace("ü.", "") for _ in range(self.randrange(3))]
        return self.choice([" ", "", "\t"]).join(self.sample(words, self.randrange(5)) + urls)

    def attributes(self) -> dict:
        found = {self.key(): self.value() for _ in range(self.randrange(6))}
        for key in ("team", "tier", "tenant", "plan", "zone", "region", "user_token"):
            if self.random() < 0.4:
                found[key] = self.choice(
                    [self.value, lambda: self.choice(["pro", "b", "acme", "shop.42", "ünï"])]
                )()
        for key in ("url.full", "http.url", "http.target", "url.query", "http.request.header.referer"):
            if self.random() < 0.3:
                found[key] = self.url()
        for key in ("exception.message", "exception.stacktrace"):
            if self.random() < 0.2:
                found[key] = self.message()
        return found


def marks(text):
    """The values of secret keys that a text shows: all but the first pair's, whose key may be part of the path."""
    return set(re.findall(r"hid\d+k", unquote(text)))


is_sensitive = key_test(POLICY.redact)


def by_the_service(enforcer: Enforcer, sent: Sent) -> tuple[dict, list]:
    span = enforcer.span(
        ReadableSpan(
            name=sent.name,
            resource=Resource({"service.name": "checkout"}),
            attributes=dict(sent.attributes),
            events=[Event(name, dict(attributes)) for name, attributes in sent.events],
            kind=SpanKind.SERVER,
        ),
        {},
    )
    return dict(span.attributes or {}), [(event.name, dict(event.attributes or {})) for event in span.events]


@pytest.fixture(scope="module")
def through_the_collector(otelcol, tmp_path_factory):
    """Sends spans of the service `checkout` and hands back what the sink has got, by span id."""
    folder = tmp_path_factory.mktemp("policy")
    file = folder / "policy.yaml"
    file.write_text(policy_file([Service("checkout", POLICY)], "a test"))
    with (
        OtlpSink() as sink,
        Collector(
            otelcol, folder / "state", "otel-collector.yaml", file, env={"SENTRY_OTLP_TRACES_URL": sink.url}
        ) as running,
    ):

        def send(spans, resource=None):
            ids = {span.span_id for span in spans}
            for start in range(0, len(spans), 500):
                body = request(spans[start : start + 500], resource or {"service.name": "checkout"})
                assert post(running.otlp, body) == 200

            def arrived():
                found = {span.span_id: span for span in sink.spans if span.span_id in ids}
                return found if len(found) == len(ids) else None

            found = wait_until(arrived, f"{len(ids)} spans at the sink")
            assert "failed to execute statement" not in running.log
            return found

        send.metric = running.metric
        yield send


def test_service_and_collector_leave_the_same_attributes_on_the_same_spans(through_the_collector):
    dice = Dice(SEED)
    spans = [
        Sent(
            attributes=dice.attributes(), events=[("e", dice.attributes()) for _ in range(dice.randrange(3))]
        )
        for _ in range(SPANS)
    ]
    enforcer = Enforcer(POLICY, lambda tag, action: None)
    found = through_the_collector(spans)
    differences: Counter[str] = Counter()
    examples = {}
    hidden, kept = 0, set()
    for sent in spans:
        expected, events = by_the_service(enforcer, sent)
        actual = found[sent.span_id]
        pairs = [
            (expected, actual.attributes),
            *((a[1], b[1]) for a, b in zip(events, actual.events, strict=True)),
        ]
        for left, right in pairs:
            for key in left.keys() | right.keys():
                if key in TEXTS and left.get(key) != right.get(key):
                    service, collector = marks(left[key]), marks(right[key])
                    assert collector <= service, (key, left[key], right[key])
                if key in TEXTS:
                    hidden += len(marks(sent.attributes.get(key, "")) - marks(left[key]))
                elif is_no_secret(key, left.get(key)) and right.get(key) == "[Filtered]":
                    kept.add(type(left[key]))  # the collector hides these, too: see docs/collector.md
                elif left.get(key) != right.get(key):
                    differences[key] += 1
                    examples.setdefault(key, (sent.attributes.get(key), left.get(key), right.get(key)))
    print(f"{SPANS} spans, {sum(differences.values())} attributes differ; {hidden} values in texts hidden")
    assert hidden > 500
    assert kept == {bool, float}
    assert not differences, (differences, examples)


def test_what_the_service_has_enforced_the_collector_leaves_as_it_is(through_the_collector):
    dice = Dice(SEED + 1)
    enforcer = Enforcer(POLICY, lambda tag, action: None)
    spans = [
        Sent(attributes=by_the_service(enforcer, Sent(attributes=dice.attributes()))[0]) for _ in range(500)
    ]
    found = through_the_collector(spans, {"service.name": "checkout", "telemetry.distro.name": "slotel"})
    for sent in spans:
        after = found[sent.span_id].attributes
        # A key that is both redacted and required: the second time its default looks like a secret.
        left, right = (
            {k: v for k, v in side.items() if k not in TEXTS | {"user_token"}}
            for side in (after, sent.attributes)
        )
        # The collector also hides truth values and measurements below a sensitive key.
        right = {
            key: "[Filtered]" if isinstance(value, (bool, float)) and left.get(key) == "[Filtered]" else value
            for key, value in right.items()
        }
        assert left == right
        for key in TEXTS & after.keys():
            assert marks(after[key]) <= marks(sent.attributes[key])


def test_another_services_spans_lose_their_secrets_and_get_no_tags_of_this_one(through_the_collector):
    sent = Sent(attributes={"iban": "DE02", "tier": "gold"})
    found = through_the_collector([sent], {"service.name": "cart"})
    assert found[sent.span_id].attributes == {"iban": "[Filtered]", "tier": "gold"}


def test_the_policys_metric_labels_are_labels_of_the_collectors_series(through_the_collector):
    through_the_collector([Sent(name="labelled", attributes={"team": "ops"}), Sent(name="labelled")])
    calls = "traces_span_metrics_calls_total"
    wait_until(
        lambda: (
            through_the_collector.metric(calls, span_name="labelled", team="ops") == 1
            and through_the_collector.metric(calls, span_name="labelled", team="payments") == 1
        ),
        "one span each for the given and the default value",
    )
