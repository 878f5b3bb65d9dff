"""The collector's policy as text: what is refused, and what stands in it."""

import json
import random
import re
import warnings
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from slotel.compile.collector.policy import POLICY_FILE, files, policy, policy_file
from slotel.compile.collector.re2_patterns import shape, suspicious, whole_pattern
from slotel.config.redaction.values import DEFAULT_VALUES, SHAPES
from slotel.config.service import Service, read_service
from slotel.config.slo import Slo
from slotel.config.tags import TagPolicy, TagRule, judge
from support.kept import run_kept
from support.real import require_real


def with_pattern(pattern):
    return Service("shop", TagPolicy(required={"tenant": TagRule(pattern=pattern)}))


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)a",
        "a(?!b)",
        "(?<=a)b",
        "(?<!a)b",
        r"(a)\1",
        "(?P<x>a)(?P=x)",
        r"a\Z",
        "a++",
        "(?>a)",
        r"\u00e9",
        "a{,3}",
        "a{1,2000}",
        "a{1001,}",
        "(?x)a b",
        "(?a:a)",
        "(?#x)a",
        "[[:alpha:]]+",
        r"[\b]a",
        "(?i)münchen",
        "(?m-s:x)|(?i:é)",
        r"\é",
    ],
)
def test_a_pattern_that_the_collector_cannot_read_is_refused_with_its_place(pattern):
    with pytest.raises(ValueError, match=r"^tags\.required\.tenant\.pattern: .*RE2"):
        files(with_pattern(pattern))


@pytest.mark.parametrize("pattern", ["[a-z0-9-]{1,40}", "(?i:a|b)", "(?P<x>a)+", r"\d+\.\w*", "a+?"])
def test_a_pattern_that_both_read_is_taken_as_a_whole(pattern):
    statements = policy([with_pattern(pattern)])["processors"]["transform/policy"]["trace_statements"][-1][
        "statements"
    ]
    assert any(f'"^(?:{pattern})$"'.replace("\\", "\\\\") in statement for statement in statements)


PIECES = (
    "a", "b", "é", "1", "-", ".", "[a-c]", "[^a]", "[]a]", "[[:alpha:]]", r"\w", r"\d", r"\.", r"\-", "(?:a|b)", "(a)", "(?i:a)", "(?i:é)", "a|b", "*", "+", "?",
    "{2}", "{,2}", "{1,3}", "{1001}", "??", "^", "$", r"\b", r"[\b]", "(?s)", "(?x)", "(?#c)", "{", "x{a}", "a**",
)  # fmt: skip
VALUES = (
    "",
    "a",
    "A",
    "b",
    "ab",
    "aa",
    "aaa",
    "1",
    "-",
    ".",
    "é",
    "É",
    "a{,2}",
    "l]",
    "h",
    "x{a}",
    "{",
    "a1",
    "a-1",
    "abc.1",
)
GO = """package main
import ("bufio"; "encoding/json"; "fmt"; "os"; "regexp")
func main() {
    lines := bufio.NewScanner(os.Stdin)
    for lines.Scan() {
        var given []string
        json.Unmarshal(lines.Bytes(), &given)
        pattern, err := regexp.Compile(given[0])
        if err != nil { fmt.Println(err); continue }
        found := []bool{}
        for _, value := range given[1:] { found = append(found, pattern.MatchString(value)) }
        written, _ := json.Marshal(found)
        fmt.Println(string(written))
    }
}
"""


@pytest.mark.process
@pytest.mark.real
def test_what_is_taken_gos_regular_expressions_read_in_the_same_way(tmp_path):
    """The collector is written in Go; 3,000 patterns, each taken by slotel.yaml."""
    go, dice, taken = require_real("go"), random.Random(20261130), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3_000):
            pattern = "".join(dice.choices(PIECES, k=dice.randint(1, 4)))
            given = json.dumps({"tags": {"required": {"t": {"pattern": pattern}}}})
            if read_service({}, given).problems:
                continue
            with suppress(ValueError):
                taken[pattern] = whole_pattern("t", pattern)
    assert len(taken) > 500
    (tmp_path / "main.go").write_text(GO)
    lines = "\n".join(json.dumps([whole, *VALUES]) for whole in taken.values())
    done = run_kept([go, "run", str(tmp_path / "main.go")], given=lines, elsewhere=tmp_path)
    assert done.returncode == 0, done.stderr
    for pattern, answer in zip(taken, done.stdout.splitlines(), strict=True):
        judged = [judge(TagRule("\0", pattern=pattern), value)[1] is None for value in VALUES if value]
        assert answer.startswith("["), (pattern, answer)
        assert json.loads(answer)[1:] == judged, pattern


@given(st.data())
def test_each_value_that_a_pattern_of_the_collector_matches_makes_its_text_suspicious(data):
    each = data.draw(st.sampled_from([found for found in SHAPES if found.pattern in shape(DEFAULT_VALUES)]))
    text = data.draw(st.from_regex(re.compile(each.pattern, re.ASCII))).lower()
    assert any(found in text for found in suspicious(DEFAULT_VALUES, ())), each.name


def test_what_makes_a_text_suspicious_is_in_no_ordinary_span():
    """Else the patterns, which take twenty times as long, are tried on every span."""
    span = {
        "http.request.method": "GET", "url.path": "/api/products/1f0e.json", "http.route": "/products/{number}",
        "http.response.status_code": "200", "network.protocol.version": "1.1", "server.address": "shop.example.org",
        "db.system.name": "postgresql", "db.query.text": "SELECT name FROM products WHERE number = %s",
    }  # fmt: skip
    assert not [found for found in suspicious(DEFAULT_VALUES, ()) if found in str(span).lower()]


def test_two_policies_have_room_in_a_config_map_of_kubernetes():
    """An agent's own, which is that of an empty file, and a service's: a ConfigMap has at most 1,048,576 bytes."""
    service = Service(tags=TagPolicy(redact=("customer_*", "*iban*"), set={"region": "eu"}))
    written = files(service)[POLICY_FILE].encode()
    assert len(written) < 1_048_576 / 2
    read = YAML(typ="safe").load(written)["processors"]["transform/policy"]
    assert read["trace_statements"][:2] == read["metric_statements"][:2] == read["log_statements"][:2]


def test_the_file_is_yaml_in_which_every_dollar_is_doubled():
    service = Service("shop", TagPolicy(set={"cost": "$HOME ${X}"}))
    text = files(service)[POLICY_FILE]
    assert '"$$HOME $${X}"' in text
    assert YAML(typ="safe").load(text)["connectors"]["span_metrics"]["dimensions"][0] == {
        "name": "http.route"
    }


def test_a_latency_threshold_is_an_edge_of_the_collectors_histogram():
    slo = Slo("latency", 0.01, 0.99, latency=0.3333)
    buckets = policy([Service("shop", slos=(slo,))])["connectors"]["span_metrics"]["histogram"]["explicit"][
        "buckets"
    ]
    assert "333300000ns" in buckets
    assert buckets.index("300ms") < buckets.index("333300000ns") < buckets.index("500ms")


def test_several_services_share_a_file_and_each_has_its_own_tags():
    first = Service("a", TagPolicy(set={"x": "1"}, redact=("iban",), metric_labels=("x",)))
    second = Service("b", TagPolicy(set={"x": "2"}, metric_labels=("x", "y")))
    made = policy([first, second])
    groups = [
        group
        for group in made["processors"]["transform/policy"]["trace_statements"]
        if "service.name" in str(group.get("conditions"))
    ]
    assert [group["conditions"] for group in groups] == [
        ['resource.attributes["service.name"] == "a"'],
        ['resource.attributes["service.name"] == "b"'],
    ]
    assert [name["name"] for name in made["connectors"]["span_metrics"]["dimensions"]][2:] == ["x", "y"]
    assert policy_file([first, second], "two") == policy_file([first, second], "two")


def test_a_file_that_names_no_service_is_for_all_spans():
    groups = policy([Service(None, TagPolicy(set={"x": "1"}))])["processors"]["transform/policy"][
        "trace_statements"
    ]
    assert groups[-1] == {"statements": ['set(span.attributes["x"], "1")']}
