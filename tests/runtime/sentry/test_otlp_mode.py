"""Mode `otlp`: what reaches Sentry's OTLP endpoint, by which way, and what becomes of what does not."""

from contextlib import closing

import pytest

from sentry_route import Proxy, make_certificate, serving_tls
from sentry_tracing import RESOURCE, Losses, client, enforcer, provider
from slotel.cli.sink import SentrySink
from slotel.model.service import SentrySettings
from slotel.runtime.sentry.otlp import otlp_sink

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")


def shipping(sentry, **options):
    losses, made = Losses(), client(sentry.dsn(7), **options)
    settings = SentrySettings(dsn=sentry.dsn(7), mode="otlp")
    sink = otlp_sink(settings, client=made, enforcer=enforcer(), resource=RESOURCE, dropped=losses)
    return sink, losses


def run(sink, count):
    tracer = provider(sink).get_tracer("t")
    for number in range(count):
        tracer.start_span(f"job {number}").end()


@pytest.fixture
def sentry():
    with SentrySink() as sink:
        yield sink


def test_headers_and_certificates_that_are_meant_for_the_collector_are_not_sent_to_sentry(
    sentry, monkeypatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2,authorization=Bearer hunter2")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-team=hunter2")
    sink, losses = shipping(sentry)
    run(sink, 3)
    sink.shutdown()
    (request,) = sentry.others
    assert request.headers["x-sentry-auth"].startswith("sentry sentry_key=")
    assert request.headers["content-type"] == "application/x-protobuf"
    assert "hunter2" not in str(request.headers)
    assert losses.counts == {}


def test_the_endpoint_is_trusted_by_ssl_cert_file_whatever_the_collectors_certificate_is(
    tmp_path, monkeypatch
):
    folder = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(other / "cert.pem"))
    with SentrySink(tls=serving_tls(folder)) as sentry:
        sink, losses = shipping(sentry)
        run(sink, 3)
        sink.shutdown()
    assert (len(sentry.others), losses.counts) == (1, {})


def test_the_proxy_of_the_sentry_client_is_used(sentry):
    proxy = Proxy()
    with closing(proxy):
        sink, losses = shipping(sentry, http_proxy=proxy.url)
        run(sink, 3)
        sink.shutdown()
    target = f"{sentry.url}/api/7/integration/otlp/v1/traces/"
    assert proxy.seen == [("POST", target, "Basic dXNlcjpwYSBzcw==")]
    assert losses.counts == {}


def test_every_span_that_does_not_arrive_is_counted_under_its_reason(sentry, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    sentry.set_fault("hang")
    sink, losses = shipping(sentry)
    run(sink, 30)
    assert sentry.wait_for(lambda s: s.stats().get("faulted"))
    sink.flush(10)
    sink.shutdown()
    run(sink, 4)
    assert losses.counts.pop(("spans", "shutdown")) == 4
    assert set(losses.counts) == {("spans", "queue_full"), ("spans", "export_error")}
    assert sum(losses.counts.values()) == 30
