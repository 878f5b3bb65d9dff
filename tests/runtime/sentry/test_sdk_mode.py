"""Mode `sdk`: Sentry's own processor behind a gate."""

import importlib.util

import pytest
import sentry_sdk
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from slotel.cli.sink.server import SentrySink
from slotel.config.tags import TagPolicy, TagRule
from slotel.runtime.sentry.modes.sdk import sdk_sink, with_old_names
from slotel.runtime.sentry.protocols import ModeError
from support.sentry_tracing import enforcer, provider

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("sentry_sdk.integrations.opentelemetry") is None,
    reason="sentry-sdk 3 has no SentrySpanProcessor",
)


@pytest.fixture
def sentry():
    """A Sentry that listens, and the client of the process that sends to it."""
    with SentrySink() as sink:
        sentry_sdk.init(
            dsn=sink.dsn(),
            instrumenter="otel",
            traces_sample_rate=1.0,
            default_integrations=False,
            auto_enabling_integrations=False,
        )
        yield sink
        sentry_sdk.get_client().close(timeout=1)
        sentry_sdk.get_global_scope().set_client(None)


def test_stable_conventions_arrive_as_http_transactions_and_database_spans_with_enforced_tags(sentry):
    policy = TagPolicy(required={"team": TagRule(default="payments")})
    sink = sdk_sink(sentry_sdk.get_client(), enforcer(policy))
    tracer = provider(sink, tags={"color": "red"}).get_tracer("t")
    attributes = {
        "http.request.method": "GET",
        "http.route": "/x",
        "http.response.status_code": 503,
        "password": "secret",
    }
    query = {"db.system.name": "pg", "db.query.text": "SELECT 1"}
    with (
        tracer.start_as_current_span("GET /x", kind=SpanKind.SERVER, attributes=attributes),
        tracer.start_as_current_span("q", attributes=query),
    ):
        pass
    assert sink.flush(5)
    assert sentry.wait_for(lambda s: s.transactions)
    (event,) = sentry.payloads("transaction")
    assert event["contexts"]["trace"]["op"] == "http.server"
    assert event["transaction_info"] == {"source": "route"}
    assert event["contexts"]["trace"]["status"] == "unavailable"
    assert (event["tags"]["team"], event["tags"]["color"]) == ("payments", "red")
    assert [(span["op"], span["description"]) for span in event["spans"]] == [("db", "SELECT 1")]
    assert "secret" not in str(event)


def test_what_is_not_sampled_and_requests_to_sentry_itself_are_not_shipped(sentry):
    sink = sdk_sink(sentry_sdk.get_client(), enforcer())
    with provider(sink, sampler=ALWAYS_OFF).get_tracer("t").start_as_current_span("unsampled"):
        pass
    for attributes in ({"url.full": sentry.url + "/api/1/envelope/"}, {"http.url": sentry.url}):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("POST", kind=SpanKind.CLIENT, attributes=attributes):
            pass
    with provider(sink).get_tracer("t").start_as_current_span("last"):
        pass
    assert sink.flush(5)
    assert sentry.wait_for(lambda s: s.transactions)
    assert [event["transaction"] for event in sentry.payloads("transaction")] == ["last"]


def test_a_client_that_was_not_set_up_for_it_is_named():
    client = sentry_sdk.Client(dsn="http://k@127.0.0.1:1/1", default_integrations=False)
    with pytest.raises(ModeError, match="instrumenter='otel'"):
        sdk_sink(client, enforcer())
    client.close(timeout=0)


def test_old_names_never_replace_what_is_there():
    given = {"http.request.method": "GET", "http.method": "PUT", "url.path": "/a", "url.query": "b=1"}
    assert with_old_names(given) == {**given, "http.target": "/a?b=1"}
    assert with_old_names({"server.address": "h"}, server=True)["net.host.name"] == "h"
