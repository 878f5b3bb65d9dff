"""The collector's policy as text: what is refused, and what stands in it."""

import pytest
from ruamel.yaml import YAML

from slotel.compile.collector.policy import POLICY_FILE, files, policy, policy_file
from slotel.config.service import Service
from slotel.config.slo import Slo
from slotel.config.tags import TagPolicy, TagRule


def with_pattern(pattern):
    return Service("shop", TagPolicy(required={"tenant": TagRule(pattern=pattern)}))


@pytest.mark.parametrize(
    "pattern",
    ["(?=a)a", "a(?!b)", "(?<=a)b", "(?<!a)b", r"(a)\1", "(?P<x>a)(?P=x)", r"a\Z", "a++", "(?>a)", r"\u00e9"],
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
