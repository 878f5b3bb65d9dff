"""Whatever an objective is, its rule file is one that Prometheus loads, and passes the tests that are written with it.

More examples: `PROPERTY_EXAMPLES=200 pytest tests/compile/prometheus/test_generated_properties.py`, or `make properties`.
"""

import json
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from slotel.cli.generate import compile_all
from slotel.compile.promql import equal, series
from slotel.compile.yaml_file import yaml_lines
from slotel.config.service import read_service
from support.promtool import check_rules, run_tests, write

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "1"))

OBJECTIVES = [
    "50%",
    "90%",
    "95%",
    "99%",
    "99.5%",
    "99.9%",
    "99.95%",
    "99.99%",
    "99.999%",
    "99.9999%",
    "80.5%",
]
PERIODS = ["1d", "36h", "2d", "3d", "7d", "28d", "30d", "90d", "month", "quarter"]
WINDOWS = ["1m", "5m", "7m", "30m", "1h", "90m", "4h", "1d", "3d"]
HOSTILE = [
    "shop",
    "a`b",
    "a\"b'c",
    "a\\b",
    "50 %",
    "äöü/☃",
    "{x}",
    "$value",
    "%d%s",
    "a|b.*",
    "#c: d",
    "- e",
    "a-b",
    "C++",
    "[team] (x",
    "a.b$1",
]
ANNOTATED = ["", "{{ $x }} {{", "a`b\n\n  c\n", 'it\'s "x"', "\ta\r\nb", "\u2028\x85x", "  lead", "# no: yes"]

SLO = st.fixed_dictionaries(
    {
        "objective": st.sampled_from(OBJECTIVES),
        "period": st.sampled_from(PERIODS),
        "window": st.sampled_from(WINDOWS),
        "description": st.sampled_from(ANNOTATED),
    },
    optional={
        "latency": st.sampled_from(["300ms", "1s", "2500ms"]),
        "time_slices": st.fixed_dictionaries(
            {"length": st.sampled_from(["1m", "5m", "10m"]), "limit": st.sampled_from(["1%", "5%", "50%"])}
        ),
        "include": st.just({"http.route": ["/orders*", "/cart"]}),
        "kinds": st.sampled_from([["SERVER"], ["SERVER", "INTERNAL"]]),
    },
)
SERVICE = st.fixed_dictionaries(
    {
        "service": st.sampled_from(HOSTILE),
        "slos": st.lists(SLO, min_size=1, max_size=2).map(
            lambda slos: [{"name": f"slo-{index}", **slo} for index, slo in enumerate(slos)]
        ),
        "monitoring": st.fixed_dictionaries(
            {"source": st.sampled_from(["slo_events", "slo_events", "span_metrics", "http_server"])},
            optional={
                "match": st.just({"environment": "pro`d \\\\ %s"}),
                "scrape_interval": st.sampled_from(["10s", "30s", "1m", "2m", "5m", "15m"]),
                "sentry_url": st.just("https://sentry.example/organizations/{{x"),
                "grafana_url": st.just("https://g.example/{{"),
                "runbook_url": st.just("https://r.example/{service}/{slo}/{{"),
            },
        ),
    }
)


@pytest.mark.real
@example({"service": "s", "slos": [{"name": "a", "objective": "99.999%"}]})
@example({"service": "s", "slos": [{"name": "a", "objective": "99%", "period": "1d"}]})
@example({"service": "a`b", "slos": [{"name": "a", "objective": "99%"}]})
@example(
    {
        "service": "s",
        "slos": [
            {"name": "a", "objective": "93%", "kinds": ["CONSUMER"]},
            {"name": "b", "objective": "99.9%"},
        ],
        "monitoring": {"scrape_interval": "5m"},
    }
)
@example(
    {"service": "s", "slos": [{"name": "a", "objective": "99%"}], "monitoring": {"scrape_interval": "15m"}}
)
@example(
    {
        "service": "s",
        "slos": [{"name": "a", "objective": "51%", "time_slices": {"length": "1m", "limit": "5%"}}],
    }
)
@settings(
    deadline=None,
    max_examples=EXAMPLES,
    derandomize=EXAMPLES < 100,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(SERVICE)
def test_every_file_is_valid_and_passes_its_own_tests(document):
    reading = read_service({}, json.dumps(document))
    assert reading.problems == ()
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = compile_all(reading.service)
        except ValueError as error:
            if "does not hold two scrapes" not in str(error):
                raise
            return
        directory = write(Path(folder), files)
        check_rules(directory)
        passed, output = run_tests(directory)
    assert passed, output[:3000]


PIECES = ["a", "b", "shop", "/", ".", "*", "+", "|", "?", "(", ")", "[", "^", "$", "\\", "`", '"', "'", " ", "#", ":", "-", "}}", "%", "&", "=", "$slo", "ü", "~", "!", ","]  # fmt: skip
"""Of names: characters of regular expressions, PromQL, Grafana's and Alertmanager's templates, YAML and addresses."""
LOOKALIKES = (".*", "{}|x", "x/{}", "x/shop/{}", "{}b", "^{}$", "{}.", '{}"', "{}`", "{}\\")
"""Names that another one would select, or that would end its string, if it was not written as it is."""


def random_names(source: random.Random, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        name = "".join(source.choice(PIECES) for _ in range(source.randint(1, 4))).strip()
        alike = source.choice(LOOKALIKES).replace("{}", name)
        found.update(dict.fromkeys(each for each in (name, alike) if name and each == each.strip()))
    return list(found)


def counters(document, *, bad: bool) -> list[str]:
    """The series in which a service counts what is good, or bad."""
    monitoring, slo = document["monitoring"], document["slos"][0]["name"]
    code = {"http_response_status_code": "500" if bad else "200"}
    own = monitoring["match"]
    if monitoring["source"] == "http_server":
        labels = {"job": document["service"], **own, **code}
        return [series("http_server_request_duration_seconds_count", equal(labels))]
    labels = {"service_name": document["service"], **own}
    if monitoring["source"] == "span_metrics":
        labels |= {"span_kind": "SPAN_KIND_SERVER", "status_code": "STATUS_CODE_UNSET", **code}
        return [series("traces_span_metrics_calls_total", equal(labels))]
    labels |= {"slo_name": slo, "slo_outcome": "bad" if bad else "good"}
    return [series("slo_events_total", equal(labels))]


@pytest.mark.real
@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_a_page_is_of_the_service_that_fails_and_of_no_other_whatever_they_are_called(seed, tmp_path):
    """Services with names that look alike, in environments with such names, in one Prometheus: some fail."""
    source = random.Random(seed)
    environments = random_names(source, 3)
    expected, files, inputs = [], {}, []
    for index, name in enumerate(random_names(source, 10)):
        for environment in source.sample(environments, 2):
            document = {
                "service": name, "slos": [{"name": source.choice(["a.b", "a-b", "aXb"]), "objective": "99%"}],
                "monitoring": {"source": ["slo_events", "span_metrics", "http_server"][index % 3], "match": {"environment": environment}},
            }  # fmt: skip
            service = read_service({}, json.dumps(document)).service
            text = compile_all(service, ["slotel.compile.prometheus.rules"])["prometheus/rules.yaml"]
            files[f"prometheus/{len(files)}.yaml"] = text
            fails = source.random() < 0.4
            for bad in (False, True):
                values = "0+100x30" if bad == fails else "0x30"
                inputs += [{"series": each, "values": values} for each in counters(document, bad=bad)]
            if fails:
                labels = {"service": name, "slo": document["slos"][0]["name"], "environment": environment}
                expected.append({"labels": series("", equal(labels)), "value": 1})
    which = 'group by (service, slo, environment) (ALERTS{alertname="ErrorBudgetBurn"})'
    test = {
        "rule_files": [path.removeprefix("prometheus/") for path in files], "evaluation_interval": "30s",
        "tests": [{"interval": "30s", "input_series": inputs, "promql_expr_test": [{"expr": which, "eval_time": "10m", "exp_samples": expected}]}],
    }  # fmt: skip
    assert expected
    directory = write(tmp_path, {**files, "prometheus/rules.test.yaml": "\n".join(yaml_lines(test))})
    passed, output = run_tests(directory)
    assert passed, output[:3000]


@given(st.text(max_size=20).filter(lambda text: not text.isprintable() or "{{" in text))
def test_a_name_that_is_no_text_for_a_line_is_refused(name):
    service = read_service({}, "service: s\nslos: [{name: a, objective: 99%}]\n").service
    from dataclasses import replace

    with pytest.raises(ValueError, match="becomes a label"):
        compile_all(replace(service, name=name))


VALUES = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.integers() | st.sampled_from(["no", "1e3", "0x1", "1_000", "~", "=", "<<", "1:30", "- a", "a: b", "a #b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@example({"a": "\n  x"})
@example({"a": "x\n"})
@example({"a": "\x85\n\u2028\x00"})
@example({"a": [[["x"]], {"b": []}]})
@given(st.dictionaries(st.text(max_size=5), VALUES, min_size=1, max_size=3))
def test_what_is_written_as_yaml_is_read_as_it_was(value):
    text = "\n".join(yaml_lines(value)) + "\n"
    assert YAML(typ="safe", pure=True).load(text) == value, text
