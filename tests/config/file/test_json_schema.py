"""The JSON schema of slotel.yaml and the readers agree: the schema refuses nothing that a service reads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from slotel.config import value_types as v
from slotel.config.file import schema
from slotel.config.file.json_schema import MEANINGS, VALUES, json_schema
from slotel.config.file.schema import Document
from slotel.config.sampling import Keep
from slotel.config.service import read_service
from slotel.config.slo import Period

ROOT = Path(__file__).parents[3]
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
WORDS = st.sampled_from(["a", "shop", "x-1", "7", "/healthz", "true"])
RATIOS = st.sampled_from(["5%", "0.05", 0.05, 0, 1, "1/20"])
STRATEGIES = {
    v.Objective: st.sampled_from(["99.9%", "0.95", 0.95, "slo:99%"]),
    v.Limit: st.sampled_from(["0.1%", "1/1000", "500ppm", 0.01]),
    v.Ratio: RATIOS,
    v.Seconds: st.sampled_from(["300ms", "1s"]),
    v.Window: st.sampled_from(["1h", "5m", "1d"]),
    v.SliceLength: st.sampled_from(["1m", "5m"]),
    v.Name: st.sampled_from(["availability", "latency", "a"]),
    v.Pattern: st.sampled_from(["[a-z]+", "x"]),
    v.Values: st.one_of(WORDS, st.lists(WORDS, min_size=1, max_size=2)),
    v.Kinds: st.sampled_from(["SERVER", ["CONSUMER"]]),
    v.Url: st.sampled_from(["https://sentry.example.com", ""]),
    v.Version: st.just(1),
    v.Shapes: st.sampled_from(["all", ["default"]]),
    v.ScrapeInterval: st.sampled_from(["15s", "1m"]),
    v.LateWait: st.sampled_from(["200ms", "1s"]),
    v.Label: st.sampled_from(["cluster", "env"]),
    Period: st.sampled_from(["30d", "month"]),
    Keep: st.sampled_from(["errors", "slow>1s"]),
    str: st.one_of(WORDS, st.integers(0, 9), st.booleans()),
    bool: st.booleans(),
    v.Count: st.integers(0, 100),
    v.Tag: WORDS,
    v.MetricLabel: st.sampled_from(["team", "x-1"]),
}


def of(kind):
    """Documents of a kind that are right, and some that are not: what the readers take is theirs to say."""
    if kind in STRATEGIES:
        return (
            STRATEGIES[kind] | st.sampled_from([None, [], {}, "…", -1, "200%"])
            if kind is v.Ratio
            else STRATEGIES[kind]
        )
    if hasattr(kind, "_fields"):
        return st.fixed_dictionaries(
            {}, optional={key: of(each) for key, each in get_type_hints(kind, include_extras=True).items()}
        )
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from([*arguments, None, [], {}, "…", -1, "200%"])
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=2)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(of(arguments[0]), of(arguments[1]), max_size=2)
    return of(next(each for each in arguments if each is not type(None)))


@given(of(Document))
def test_what_a_service_reads_the_schema_accepts(document):
    problems = read_service({}, json.dumps(document)).problems  # JSON is YAML
    if not problems:
        VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "text",
    [
        "slots: []",
        "version: 2",
        "slos: [{name: a, objective: 99%, latncy: 1s}]",
        "slos: [{objective: 99%}]",
        "sentry: {mode: fast}",
        "slos: {}",
        "tags: {metric_labels: team}",
        "slos: [{name: a, objective: 99%, kinds: [SERVR]}]",
        "sentry: {sample: [{route: /x}]}",
        "monitoring: {match: {'my-env': prod}}",
    ],
)
def test_what_an_editor_should_mark_is_refused_by_both(text):
    assert read_service({}, text).problems
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(YAML(typ="safe").load(text))


def test_the_schema_is_valid_and_the_example_passes():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    VALIDATOR.validate(YAML(typ="safe").load((ROOT / "examples/slotel.yaml").read_text()))


def test_every_kind_and_every_key_is_described():
    assert VALUES.keys() >= schema.PARSERS.keys()

    assert set(_keys(json_schema(), "")) == set(MEANINGS)


def _keys(schema, path):
    """The paths of all keys; below a name that the user chooses, `*` stands for it."""
    for one in (schema, *schema.get("anyOf", ())):
        for name, each in one.get("properties", {}).items():
            yield f"{path}.{name}".lstrip(".")
            yield from _keys(each, f"{path}.{name}")
        if isinstance(one.get("additionalProperties"), dict):
            yield from _keys(one["additionalProperties"], f"{path}.*")
        if isinstance(one.get("items"), dict):
            yield from _keys(one["items"], path)
