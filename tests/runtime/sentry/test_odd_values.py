"""One odd value loses nothing: what holds it is sent, the value as text. JSON is strict, whoever writes it."""

import json
import math
import subprocess
import sys
from collections import Counter

import pytest
import sentry_sdk
from hypothesis import given
from hypothesis import strategies as st

from slotel.cli.sink.server import SentrySink
from slotel.runtime.sentry.transport import encode
from support.launch import APPS, LAUNCHER, clean_environ

VALUES = 23
"""How many odd values tests/apps/errors/odd.py has."""


class NoText:
    def __repr__(self):
        raise ValueError("no text")

    __str__ = __repr__


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.text(st.characters()), st.binary(), st.datetimes(),
    st.builds(NoText), st.just("\ud800"), st.sets(st.integers()), st.just(10**4000), st.just(range(3)),
)  # fmt: skip
DATA = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.one_of(st.text(), st.integers(), st.none(), st.tuples()), inner)),
    max_leaves=30,
)  # fmt: skip


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture(params=["as installed", "standard library"])
def dumps(request, monkeypatch):
    if request.param == "standard library":
        monkeypatch.setattr(encode, "_DUMPS", encode._plain_dumps)
    return encode.serialize


@given(value=DATA)
def check_strict(dumps, value):
    made = json.loads(dumps({"value": value, "kept": 1}), parse_constant=refuse)
    assert made["kept"] == 1
    assert "value" in made

    def check(item):
        if isinstance(item, dict):
            for key, each in item.items():
                key.encode()
                check(each)
        elif isinstance(item, list):
            for each in item:
                check(each)
        elif isinstance(item, str):
            assert "\x00" not in item
            item.encode()
        elif isinstance(item, int):
            assert -(2**63) <= item < 2**64
        elif isinstance(item, float):
            assert math.isfinite(item)

    check(made)


def test_any_value_becomes_strict_json(dumps):
    check_strict(dumps)


def test_a_value_that_json_knows_stays_as_it_is(dumps):
    value = {"a": [1, -(2**63), 2**63 - 1, 1.5, "x", None, True, {"é": "ü"}]}
    assert json.loads(dumps(value)) == value


@pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="sentry-sdk 3 has other logs")
def test_whatever_an_app_says_its_errors_jobs_and_logs_arrive(tmp_path):
    (tmp_path / "slotel.yaml").write_text("version: 1\nsentry:\n  logs: true\n  error_detail: full\n")
    with SentrySink() as sink:
        env = clean_environ(
            SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none", SENTRY_TRACES_SAMPLE_RATE="1",
            SLOTEL_CONFIG=str(tmp_path / "slotel.yaml"),
        )  # fmt: skip
        done = subprocess.run(
            [str(LAUNCHER), sys.executable, "odd.py"],
            env=env, cwd=APPS / "errors", timeout=170, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert sink.stats().get("malformed", 0) == 0
        events, transactions = sink.payloads("event"), sink.payloads("transaction")
        logs = [log for batch in sink.payloads("log") for log in batch["items"]]
    errors = [event for event in events if "exception" in event]
    assert len(errors) == VALUES, done.stderr[-3000:]
    assert len(events) == 2 * VALUES, Counter(str(event.get("message"))[:60] for event in events)
    assert len(transactions) == VALUES, Counter(each["transaction"][:60] for each in transactions)
    assert len([log for log in logs if log["body"].startswith("logged")]) == VALUES
    assert {event["user"]["name"] for event in errors} == {each["user"]["name"] for each in transactions}
    said = {event["user"]["name"]: event for event in errors}
    assert said["large int"]["extra"]["odd"] == str(2**64)
    assert said["nan"]["contexts"]["odd"]["value"] == "nan"
    assert said["no text"]["user"]["id"]
    assert said["circle"]["extra"]["odd"]["name"] == "circle"
    made = {each["user"]["name"]: each for each in transactions}
    assert made["large int"]["contexts"]["odd"]["value"] == str(2**64)
    assert made["nan"]["contexts"]["odd"]["value"] == "nan"
