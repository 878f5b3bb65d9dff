"""What sentry-sdk's own integrations do beside capturing errors, slotel does too: beside plain sentry-sdk."""

import json

import pytest
import sentry_sdk

from support.sentry_app import run_app

pytestmark = pytest.mark.skipif(
    not sentry_sdk.consts.VERSION.startswith("2."), reason="sentry-sdk 3 has other options"
)


def run(how, *more):
    uses = ("flask", "django", "starlette")
    ran = run_app(how, "integrations_do.py", how, *more, uses=uses, SENTRY_TRACES_SAMPLE_RATE="1")
    methods = sorted(each["request"]["method"] for each in ran.payloads("transaction") if "request" in each)
    (event,) = ran.payloads("event")
    return json.loads(ran.stdout), methods, event["request"]


@pytest.fixture(scope="module")
def both():
    return run("slotel"), run("plain")


def test_templates_know_the_trace(both):
    (slotel, _, _), (plain, _, _) = both
    assert slotel == plain == {"flask": True, "starlette": True, "django": True}


def test_head_and_options_are_no_transactions(both):
    (_, slotel, _), (_, plain, _) = both
    assert slotel == plain == ["GET", "GET"]


def test_a_query_that_the_app_keeps_back_is_in_no_event(both):
    (_, _, sent), _ = both
    assert "query_string" in sent
    if "data_collection" not in sentry_sdk.consts.DEFAULT_OPTIONS:
        pytest.skip("this sentry-sdk has no data_collection")
    for how in ("slotel", "plain"):
        _, _, request = run(how, "private")
        assert "query_string" not in request, how
        assert "of-the-query" not in json.dumps(request), how
