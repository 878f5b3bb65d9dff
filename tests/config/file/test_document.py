"""slotel.yaml in YAML's odd corners: one line each, never an exception."""

import json

import pytest
from ruamel.yaml.scanner import RoundTripScanner

from slotel.config.file.document import read_document
from slotel.config.service import read_service

SLO = "slos: [{name: a, objective: 99%, "


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("service: ${NAME}", ["f:1 service: variables such as ${NAME} are not replaced here: write the value"]),
        ("service: shop-${ENV:-prod}", ["f:1 service: variables such as ${NAME} are not replaced here"]),
        ("slos: [{name: a, objective: ${LIMIT}}]", ["f:1: not valid YAML: expected ',' or '}', but got '{': variables"]),
        ("service: \u201cshop\u201d", ["f:1 service: typographic quotes would be part of the value"]),
        ("slos: [{name: a, objective: \u00ab99%\u00bb}]", ["f:1 slos[0].objective: typographic quotes would be"]),
        ("slos: [{name: a, objective: 99%, description: 'don\u2019t use ${X} or ${Y}'}]", []),
        ("a: " + "[" * 500, ["f:1: not valid YAML: maximum depth of data structure exceeded (101)"]),
        ("\n".join(" " * depth + "a:" for depth in range(300)), ["f:100: not valid YAML: maximum depth"]),
        ("version: " + "9" * 5000, ["f: not valid YAML: Exceeds the limit"]),
        ("service: 2001-13-45", ["f: not valid YAML: month must be in 1..12"]),
        ("version: !!int abc", ["f: not valid YAML: invalid literal for int()"]),
        ("service: &a [*a]", ["f:1 service: expected text, got a list"]),
        ("version: &a [*a]", ["f:1 version: expected text, got a list"]),
        ("tags: &a {set: *a}", ["f:1 tags.set: expected a mapping"]),
        ("slos: &a [*a]", ["f:1 slos[0]: expected a mapping such as 'name: value', got nothing"]),
        ("tags: {set: {? {a: b} : c}}", ["f:1 tags.set."]),
        ("tags: {set: {? [a, b] : c}}", ["f:1 tags.set.('a', 'b'): expected text, got a list"]),
        ("1: a\n~: b\n[x, y]: c\n2001-12-14: d\n", ["f:1 1: unknown", "f:2 None: unknown", "f:3 ('x', 'y'): unknown", "f:4 2001-12-14: unknown"]),
        ('"a\\nb": 1', ["f:1 a b: unknown key"]),
        ("tags: {redact: password}", ["f:1 tags.redact: expected a list, got 'password'"]),
        ("tags: {redact: !!set {a, b}}", ["f:1 tags.redact: expected a list, got a set"]),
        ("tags: {required: {a: {pattern: 'x{99999999999999}'}}}", ["f:1 tags.required.a.pattern: 'x{99999999999999}' is not a regular expression"]),
        ("tags:\nslos:\nversion:\n", ["f:1 tags: expected a mapping", "f:2 slos: expected a list, got nothing", "f:3 version: expected text, got nothing"]),
        ("slos:\n- {objective: 99%}\n- {objective: 98%}", ["f:2 slos[0]: name is missing", "f:3 slos[1]: name is missing"]),
        ("slos:\n- {name: 'a b', objective: 99}", ["f:2 slos[0].name: 'a b': a name has", "f:2 slos[0].objective: '99': write '99%'"]),
        ("sentry: {mode: fast, keep: [all]}", ["f:1 sentry.mode: 'fast' is not known", "f:1 sentry.keep[0]: 'all': keep"]),
        ("slos: [{name: a, objective: '1e999999999'}]", ["f:1 slos[0].objective: '1e999999999' is not a ratio"]),
        ("tags: {metric_labels: [http.route, team, service_name, le, ' ', __x]}", [
            "f:1 tags.metric_labels[0]: the metrics have the label http_route already: leave 'http.route' out",
            "f:1 tags.metric_labels[2]: the metrics have the label service_name already", "f:1 tags.metric_labels[3]: the metrics have the label le",
            "f:1 tags.metric_labels[4]: a tag has a name", "f:1 tags.metric_labels[5]: Prometheus keeps labels such as __x for itself"]),
        ("tags: {metric_labels: [a.b, c, a b]}", ["f:1 tags.metric_labels[2]: 'a.b' and 'a b' are one label, a_b: rename one of the tags"]),
        ("tags: {set: {'': x}, required: {' ': {}}}", ["f:1 tags.set.: a tag has a name", "f:1 tags.required.: a tag has a name"]),
        ("tags: {required: {a: {pattern: '(?u)a'}}}", ["f:1 tags.required.a.pattern: '(?u)a' is not a regular expression: ASCII and UNICODE flags"]),
        ("sentry: {keep_per_minute: -5}", ["f:1 sentry.keep_per_minute: expected a number from 0 to 1,000,000"]),
        (SLO + "window: 10s, bogus: 1}]", ["f:1 slos[0].window: '10s': a window", "f:1 slos[0].bogus: unknown key"]),
    ],
    ids=lambda value: None if isinstance(value, list) else value[:30],
)  # fmt: skip
def test_each_wrong_place_is_one_line_in_the_order_of_the_file(text, lines):
    _, problems = read_document(text, "f")
    said = [str(problem) for problem in problems]
    assert len(said) == len(lines), said
    assert [line[: len(start)] for line, start in zip(said, lines, strict=True)] == lines
    assert not any("\n" in line or "YAML()" in line for line in said)


def test_brackets_that_are_too_deep_are_refused_where_they_stand(monkeypatch):
    """Without reading on: the reader looks for a key's end behind each of them, 11 s for 5,000."""
    asked = []
    fetch = RoundTripScanner.fetch_more_tokens
    monkeypatch.setattr(RoundTripScanner, "fetch_more_tokens", lambda self: (asked.append(1), fetch(self))[1])
    _, (problem,) = read_document("a: " + "[" * 5000 + "]" * 5000, "f")
    assert str(problem).startswith("f:1: not valid YAML: maximum depth of data structure exceeded (101)")
    assert len(asked) < 200


def test_a_wrong_value_of_sentry_or_monitoring_takes_no_other_with_it():
    document, problems = read_document(
        "sentry: {mode: fast, traces_sample_rate: 0.1}\nmonitoring: {source: metrics, match: {le: x, team: a}}\n",
        "f",
    )
    assert [problem.place for problem in problems] == [
        "f:1 sentry.mode",
        "f:2 monitoring.source",
        "f:2 monitoring.match.le",
    ]
    assert (document.sentry.mode, document.sentry.traces_sample_rate) == (None, 0.1)
    assert (document.monitoring.source, document.monitoring.match) == ("slo_events", {"team": "a"})


def test_yamls_own_types_are_read_as_they_are_meant():
    """A number is one where a number is meant; as text it is what was written, as a release `1.50`."""
    document, problems = read_document(
        "tags: {set: {a: &x true, b: 0x10, c: 1_000, d: 1.50, e: 2001-12-14, f: 'q', g: *x}}\n"
        "sentry: {keep_per_minute: &y 1_000}\n"
        "slos:\n"
        "- &z {name: a, objective: 99%, kinds: CLIENT, bad: {http_5xx: &w false}}\n"
        "- {<<: *z, name: b}\n",
        "f",
    )
    assert problems == ()
    assert document.tags.set == {
        "a": "true",
        "b": "0x10",
        "c": "1_000",
        "d": "1.50",
        "e": "2001-12-14",
        "f": "q",
        "g": "true",
    }
    assert document.sentry.keep_per_minute == 1000
    assert [(slo.name, slo.kinds, slo.bad.http_5xx) for slo in document.slos] == [
        ("a", ("CLIENT",), False),
        ("b", ("CLIENT",), False),
    ]


def test_what_a_merge_brings_has_its_place_too():
    text = "service: a\ntags: {set: {c: d}}\nslos:\n- &z {name: a, objective: 99%, latency: 300}\n- {<<: *z, name: b}\n"
    _, problems = read_document(text, "f")
    assert [problem.place for problem in problems] == ["f:4 slos[0].latency", "f:5 slos[1].latency"]


def test_a_character_that_json_writes_as_two_surrogates_is_one_and_half_of_one_is_none():
    """`json.dumps` writes an emoji so; Prometheus refuses a file of rules with half of one."""
    text = json.dumps({"version": 1, "service": "shop 🎉", "slos": [{"name": "a", "objective": "99%"}]})
    assert "\\ud83c" in text
    document, problems = read_document(text, "slotel.yaml")
    assert (document.service, problems) == ("shop 🎉", ())
    document, problems = read_document('service: "half \\ud83c"\n"k\\ud83c": 1', "slotel.yaml")
    assert document.service == "half \ufffd"
    assert ["unknown key" in problem.expectation for problem in problems] == [True]


@pytest.mark.parametrize("value", ["a-$USD", "US$", "$5", "a$b"])
def test_a_dollar_sign_within_a_value_is_no_variable(value):
    reading = read_service({}, f'service: "{value}"\nslos: [{{name: a, objective: 99%}}]\n')
    assert (reading.problems, reading.service.name) == ((), value)
