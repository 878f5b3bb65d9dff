"""slotel.yaml and the environment, judged and merged."""

import re
import subprocess
import sys
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.config import names
from slotel.config.duration import format_duration
from slotel.config.file.schema import SentryDoc
from slotel.config.service import read_service
from slotel.config.slo import burn_rate
from slotel.config.tags import label_name
from slotel.config.variables import VARIABLES

WHOLE = """\
version: 1
service: checkout
tags:
  set:      {region: eu-west-1}
  required:
    team:   {default: payments}
    tier:   {allowed: [free, pro, enterprise], default: unknown}
    tenant: {pattern: "[a-z0-9-]{1,40}"}
  redact:   [password, authorization, "*.token", credit_card]
  metric_labels: [team, tier]
slos:
  - name: availability
    objective: 99.9%
    period: 30d
    exclude: {http.route: [/healthz, /metrics]}
  - name: latency
    objective: 99%
    latency: 300ms
sentry: {traces_sample_rate: 0.05, keep: [errors, "slow>1s"]}
"""


def test_the_designs_example_is_read_as_it_is_meant():
    reading = read_service({}, WHOLE)
    assert reading.problems == ()
    service = reading.service
    assert service.name == "checkout"
    assert service.tags.required["tier"].allowed == ("free", "pro", "enterprise")
    assert service.tags.metric_labels == ("team", "tier")
    assert [(slo.name, slo.limit, slo.objective, slo.latency) for slo in service.slos] == [
        ("availability", 0.001, 0.999, None),
        ("latency", 0.01, 0.99, 0.3),
    ]
    assert service.slos[0].select.exclude["http.route"] == ("/healthz", "/metrics")
    assert service.sentry.traces_sample_rate == 0.05
    assert [keep.slow for keep in service.sentry.keep] == [None, 1.0]


def test_the_environment_alone_is_enough():
    service = read_service(
        {"SENTRY_DSN": "http://k@host/1", "ERROR_BUDGET_LIMIT": "5%", "ERROR_BUDGET_WINDOW": "30m"}
    ).service
    assert [(slo.name, slo.limit, slo.objective, slo.window) for slo in service.slos] == [
        ("availability", 0.05, 0.95, 1800)
    ]
    assert service.sentry.dsn == "http://k@host/1"


def test_the_environment_beats_the_file():
    service = read_service({"ERROR_BUDGET_LIMIT": "5%", "SENTRY_TRACES_SAMPLE_RATE": "0.5"}, WHOLE).service
    assert [slo.limit for slo in service.slos] == [0.05, 0.01]
    assert service.sentry.traces_sample_rate == 0.5


BOTH = {
    "SENTRY_TRACES_SAMPLE_RATE": ("sentry: {traces_sample_rate: %s}", "0.25", "0.5"),
    "SLOTEL_SENTRY_MODE": ("sentry: {mode: %s}", "sdk", "otlp"),
    "SLOTEL_SENTRY_LATE_WAIT": ("sentry: {late_wait: %s}", "300ms", "1s"),
    "SENTRY_PROJECT": ("sentry: {project: %s}", "web", "shop"),
    "ERROR_BUDGET_LIMIT": ("slos: [{name: availability, error_budget: %s}]", "5%", "2%"),
    "ERROR_BUDGET_WINDOW": ("slos: [{name: availability, objective: 99%%, window: %s}]", "30m", "2h"),
}
"""What a variable and the file can both say: the file's line, and two values."""


@pytest.mark.parametrize("name", BOTH)
def test_environment_over_file_over_default_and_one_line_where_they_disagree(name):
    line, one, other = BOTH[name]

    def effective(environ, text=None):
        service = read_service(environ, text).service
        return service.sentry, service.slos[0].limit, service.slos[0].window

    default, by_file, by_variable = effective({}), effective({}, line % one), effective({name: other})
    assert len({str(each) for each in (default, by_file, by_variable)}) == 3
    assert effective({name: other}, line % one) == by_variable == effective({name: other}, line % other)
    assert effective({name: one}, line % one) == by_file == effective({name: " "}, line % one)
    said = {
        (variable, stated): [note for note in read_service({name: variable}, line % stated).notes if "SLO103" in note]
        for variable in (one, other) for stated in (one, other)
    }  # fmt: skip
    assert {pair: len(notes) for pair, notes in said.items()} == {
        pair: int(pair[0] != pair[1]) for pair in said
    }
    assert said[other, one][0].startswith(f"{name}={other} ") and "slotel.yaml" in said[other, one][0]


def test_every_variable_that_the_file_can_say_too_is_compared():
    """A new key of `sentry` that has a variable joins the list above."""
    keys = {f"SLOTEL_SENTRY_{key.upper()}" for key in SentryDoc._fields}
    keys |= {f"SENTRY_{key.upper()}" for key in SentryDoc._fields}
    assert keys & {each.name for each in VARIABLES} <= set(BOTH)


def test_a_dsn_is_never_shown():
    assert "secretkey" not in repr(read_service({"SENTRY_DSN": "http://secretkey@host/1"}))


@pytest.mark.parametrize(
    ("text", "place", "expectation"),
    [
        ("nope: 1", "slotel.yaml:1 nope", "unknown key, known are: monitoring, redaction, sentry, service, slos, spans, tags, version"),
        ("version: 2", "slotel.yaml:1 version", "write 'version: 1'"),
        ("a: [1\nb: 2", "slotel.yaml:2", "not valid YAML"),
        ("- 1", "slotel.yaml:1", "expected a mapping"),
        ("tags:\n  required:\n    a: {bogus: 1}", "slotel.yaml:3 tags.required.a.bogus", "unknown key"),
        ("tags:\n  required:\n    a: {pattern: '['}", "slotel.yaml:3 tags.required.a.pattern", "not a regular expression"),
        ("tags:\n  set: {a: [1]}", "slotel.yaml:2 tags.set.a", "expected text, got a list"),
        ("slos:\n- name: a\n  objective: 99.9", "slotel.yaml:3 slos[0].objective", "write '99.9%'"),
        ("slos:\n- name: a\n  objective: 100%", "slotel.yaml:3 slos[0].objective", "100% leaves no budget"),
        ("slos:\n- name: a\n  objective: 99%\n  latency: 300", "slotel.yaml:4 slos[0].latency", "write it as '300ms'"),
        ("slos:\n- name: a\n  objective: 99%\n  period: fortnight", "slotel.yaml:4 slos[0].period", "7d, 28d, 30d"),
        ("slos:\n- name: a", "slotel.yaml:2 slos[0]", "give one of objective"),
        ("slos:\n- objective: 99%", "slotel.yaml:2 slos[0]", "name is missing"),
        ("slos:\n- {name: 'a b', objective: 99%}", "slotel.yaml:2 slos[0].name", "a name has letters"),
        ("slos:\n- {name: a, objective: 99%}\n- {name: a, objective: 98%}", "slotel.yaml:3 slos[1].name", "two objectives are named 'a'"),
        ("slos: {a: b}", "slotel.yaml:1 slos", "expected a list, got a mapping"),
        ("slos: abc", "slotel.yaml:1 slos", "expected a list, got 'abc'"),
        ("slos:", "slotel.yaml:1 slos", "expected a list, got nothing"),
        ("slos: [a]", "slotel.yaml:1 slos[0]", "expected a mapping such as 'name: value', got 'a'"),
        ("slos:\n- {name: a, objective: 99%, include: [b]}", "slotel.yaml:2 slos[0].include", "expected a mapping"),
        ("slos:\n- {name: a, objective: 99%, include: {b: []}}", "slotel.yaml:2 slos[0].include.b", "an empty list matches nothing"),
        ("slos:\n- {name: a, objective: 99%, kinds: SERVR}", "slotel.yaml:2 slos[0].kinds", "some of SERVER, CONSUMER"),
        ("slos:\n- {name: a, objective: 99%, window: 10s}", "slotel.yaml:2 slos[0].window", "between 1m and 3d"),
        ("slos:\n- {name: a, objective: 99%, time_slices: {length: 2h}}", "slotel.yaml:2 slos[0].time_slices.length", "between 1m and 1h"),
        ("monitoring: {match: {severity: x}}", "slotel.yaml:1 monitoring.match.severity", "the label 'severity' is written by the rules"),
        ("sentry: {keep: [all]}", "slotel.yaml:1 sentry.keep[0]", "keep 'errors' or 'slow>1s'"),
        ("sentry: {mode: fast}", "slotel.yaml:1 sentry.mode", "write one of transactions, sdk, otlp, errors"),
        ("sentry: {traces_sample_rate: 2}", "slotel.yaml:1 sentry.traces_sample_rate", "between 0 and 1"),
        ("service: {a: 1}", "slotel.yaml:1 service", "expected text, got a mapping"),
        ("a: 1\na: 2", "slotel.yaml:2", "not valid YAML: found duplicate key"),
        ("slos:\n  - name: a\n   objective: 99%", "slotel.yaml:3", "indent the line as those beside it"),
        ("slos:\n  - name: a\n      objective: 99%", "slotel.yaml:3", "indent the line as those beside it"),
        ("tags:\n\tset: {a: b}", "slotel.yaml:2", "indent by spaces"),
        ("service: a\nslos:\n- name: a\n  objective:99%\n  period: 7d\n", "slotel.yaml:4", "a space after the colon"),
        ("version: 1\nservice a\nslos: []", "slotel.yaml:2", "write 'key: value'"),
        ("service: @a", "slotel.yaml:1", "put the value in quotes"),
        ("service: 'a\nversion: 1\n", "slotel.yaml:1", "a quote that begins here is not closed"),
        ("tags: {set: {a: b}\n", "slotel.yaml:2", "a bracket before it is not closed"),
        ("slos:\n- {name: a, objective: 99%, include: {http.route: [/a, *]}}", "slotel.yaml:2", "begins with '*' or '&' in quotes"),
        ("service: *", "slotel.yaml:1", "in quotes"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_by_line_path_and_expectation(text, place, expectation):
    problems = read_service({}, text).problems
    assert [problem.place for problem in problems] == [place]
    assert expectation in problems[0].expectation
    assert "\n" not in str(problems[0])


def test_a_wrong_part_takes_nothing_else_with_it():
    wrong = WHOLE.replace("objective: 99%", "objective: 990").replace("allowed: [free", "alowed: [free")
    reading = read_service({}, wrong)
    assert len(reading.problems) == 2
    assert [slo.name for slo in reading.service.slos] == ["availability"]
    assert reading.service.tags.required["tier"].default == "unknown"
    assert reading.service.tags.redact == ("password", "authorization", "*.token", "credit_card")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("ERROR_BUDGET_LIMIT", "5", "ERROR_BUDGET_LIMIT='5': write '5%' for a 5 % error limit (using the default, 1%)"),
        ("ERROR_BUDGET_LIMIT", "abc", "ERROR_BUDGET_LIMIT='abc': is not a ratio: write it as '5%', '0.05', '1/20' or '500ppm' (using the default, 1%)"),
        ("ERROR_BUDGET_WINDOW", "60", "ERROR_BUDGET_WINDOW='60': is not a duration: write it as '300ms', '5m', '1h' or '30d' (using the default, 1h)"),
        ("ERROR_BUDGET_WINDOW", "1000d", "ERROR_BUDGET_WINDOW='1000d': a window is between 1m and 3d (using the default, 1h)"),
        ("SENTRY_TRACES_SAMPLE_RATE", "2", "SENTRY_TRACES_SAMPLE_RATE='2': a sample rate lies between 0 and 1: write for example '0.05' or '5%' (using the default, OTEL_TRACES_SAMPLER's)"),
        ("SLOTEL_SENTRY_LATE_WAIT", "1h", "SLOTEL_SENTRY_LATE_WAIT='1h': at most 10s, for what ends later becomes a transaction of its own (using the default, 200ms)"),
        ("SLOTEL_SENTRY_MODE", "fast", "SLOTEL_SENTRY_MODE='fast': write one of transactions, sdk, otlp, errors (using the default, transactions)"),
        ("SLOTEL_MAX_SERIES", "-1", "SLOTEL_MAX_SERIES='-1': write a whole number above 0 (using the default, 2000)"),
        ("SLOTEL_ASGI_SPANS", "sent", "SLOTEL_ASGI_SPANS='sent': write 'send', 'receive', 'send,receive' or 'none' (using the default, none)"),
        ("SLOTEL_HTTP_METRICS", "own", "SLOTEL_HTTP_METRICS='own': write one of slotel, sdk (using the default, slotel)"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_one_line_with_the_right_spelling(name, value, line):
    assert [str(problem) for problem in read_service({name: value}).problems] == [f"{line} [SLO101]"]


@pytest.mark.parametrize("mode", ["sdk", "otlp", "errors"])
def test_what_only_transactions_can_do_is_said_to_have_no_effect_in_another_mode(mode):
    file = "sentry: {keep: [errors], late_wait: 1s}\n"
    (note,) = read_service({"SLOTEL_SENTRY_MODE": mode}, f"version: 1\n{file}").notes
    assert note.startswith(
        f"slotel.yaml sentry.keep, sentry.late_wait: without effect in sentry.mode {mode}, "
    )
    assert "SLOTEL_SENTRY_MODE" in note
    assert read_service({}, f"version: 1\n{file}").notes == ()
    assert (
        read_service({"SLOTEL_SENTRY_MODE": mode}, "version: 1\nsentry: {traces_sample_rate: 0.1}\n").notes
        == ()
    )


@pytest.mark.parametrize(
    "file",
    [
        "DB_PASSWORD=hunter2\nTOKEN=hunter2\n",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
        "password: hunter2\npassword: hunter2\n",
        "password: hunter2\ntoken: [hunter2]\n",
        "- hunter2\n",
        "hunter2: hunter2: hunter2\n",
    ],
)
def test_a_file_that_is_something_else_is_named_and_not_quoted(file):
    problems = read_service({}, file, "/run/secrets/x").problems
    assert problems
    assert all(str(each).startswith("/run/secrets/x:") for each in problems)
    assert "hunter2" not in "".join(map(str, problems))


@given(st.text(max_size=200))
def test_no_text_raises(text):
    reading = read_service({}, text)
    assert reading.service.slos


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tags", "slos", "name", "objective", "set", "sentry", "keep", "x"]), inner, max_size=4),
        max_leaves=12,
    )
)  # fmt: skip
def test_no_document_raises_and_the_rest_always_stands(document):
    import json

    reading = read_service({}, json.dumps(document))
    assert reading.service.slos


@given(
    st.lists(
        st.sampled_from(["a.b", "a b", "a_b", "http.route", "le", "ünï", "9x", "_9x", "__name__", "", "team"])
        | st.text(max_size=4)
    )
)
def test_each_metric_label_is_a_label_of_its_own_beside_those_that_the_metrics_have(tags):
    import json

    kept = read_service({}, json.dumps({"tags": {"metric_labels": tags}})).service.tags.metric_labels
    labels = [label_name(tag) for tag in kept]
    assert len(set(labels)) == len(labels)
    assert names.SPAN_LABELS.isdisjoint(labels)
    assert all(
        re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", label) and not label.startswith("__") for label in labels
    )
    assert "team" not in tags or "team" in kept


EXTREME = [
    f"{start}{digit * times}{end}"
    for start in ("", "0.", "99.", "slo:99.", "1/", "1e-", "1.")
    for digit in "09"
    for times in (1, 13, 30, 400)
    for end in ("", "%", "1%", "s", "d")
]


@pytest.mark.parametrize("key", ["objective", "error_budget", "latency", "period"])
def test_whatever_number_an_objective_has_rates_can_be_divided_by_it(key):
    import json

    given = {"name": "a"} if key == "error_budget" else {"name": "a", "objective": "99%"}
    for value in EXTREME:
        for slo in read_service({}, json.dumps({"slos": [{**given, key: value}]})).service.slos:
            assert 0 < slo.limit < 1, value
            assert 0 < slo.objective < 1, value
            assert isfinite(burn_rate(1, 1, slo.limit))
            assert format_duration(slo.period.seconds)
            assert slo.latency is None or format_duration(slo.latency)


def test_a_service_without_a_file_never_imports_the_file_reader():
    code = (
        "import sys; from slotel.config.service import read_service; read_service({}); "
        "print([name for name in ('ruamel', 'slotel.config.file.decode') if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
