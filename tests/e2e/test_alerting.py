"""End to end: a service under opentelemetry-instrument, its generated rules in Prometheus, its alerts at Alertmanager's webhook."""

import json
import secrets
import sys
import time
import urllib.parse
import urllib.request

import pytest

from slotel.compile.prometheus.rules import files
from slotel.config.load import read_configuration
from support.alertmanager import Alertmanager, Webhook
from support.launch import Launched, wait_until
from support.prom import Prometheus

SLOTEL_YAML = """\
service: shop
slos:
  - {name: availability, error_budget: 5%, window: 1h}
monitoring:
  sentry_url: https://sentry.example/organizations/acme
  grafana_url: https://grafana.example
  runbook_url: https://runbooks.example/{service}/{slo}
"""
INTERVAL = "500ms"
OK, ERRORS, MORE_OK = 60, 30, 900


@pytest.fixture
def alerting(tmp_path):
    """The service, its Prometheus, and the webhook; evaluated twice a second instead of every 30 s."""
    configuration = tmp_path / "slotel.yaml"
    configuration.write_text(SLOTEL_YAML)
    service = read_configuration({}, str(configuration)).service
    rules = tmp_path / "rules.yaml"
    text = files(service)["prometheus/rules.yaml"]
    rules.write_text(
        text.replace("interval: 30s", f"interval: {INTERVAL}").replace("interval: 2m", "interval: 2s")
    )
    webhook = Webhook()
    manager = Alertmanager(tmp_path, webhook)
    env = {"SLOTEL_CONFIG": str(configuration), "OTEL_TRACES_SAMPLER": "always_on"}
    try:
        with Launched(sys.executable, "flask_app.py", env=env) as shop:
            shop.wait_ready()
            jobs = {"shop": [f"127.0.0.1:{shop.metrics_port}"]}
            prometheus = Prometheus(
                tmp_path / "prometheus", jobs, [rules], INTERVAL, [f"127.0.0.1:{manager.port}"]
            )
            try:
                yield shop, prometheus, webhook
            finally:
                prometheus.stop()
    finally:
        manager.close()
        webhook.close()


@pytest.mark.real
def test_errors_alert_at_the_webhook_and_resolve_after_recovery_and_the_exemplar_names_a_failed_request(
    alerting,
):
    shop, prometheus, webhook = alerting
    begin = time.monotonic()
    timeline = []

    def note(what):
        timeline.append(f"{time.monotonic() - begin:6.1f} s  {what}")

    # an increase is seen between two scrapes
    wait_until(
        lambda: prometheus.value('count_over_time(slo_events_total{slo_outcome="bad"}[5m])') >= 3, "scrapes"
    )
    note("scraped")
    for _ in range(OK):
        assert shop.get("/ok")[0] == 200
    note(f"{OK} good requests")
    traces = [secrets.token_hex(16) for _ in range(ERRORS)]
    for trace in traces:
        assert shop.get("/error", {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"})[0] == 500
    note(f"{ERRORS} failing requests")

    wait_until(
        lambda: prometheus.query('ALERTS{alertname="ErrorBudgetLimitExceeded",alertstate="firing"}'), "firing"
    )
    note("ErrorBudgetLimitExceeded fires in Prometheus")
    fired = wait_until(
        lambda: webhook.first("firing", alertname="ErrorBudgetLimitExceeded"), "the limit's alert arrives", 60
    )
    note("and has arrived at the webhook")
    assert fired.path == "/ticket"
    expected = {"service": "shop", "slo": "availability", "severity": "ticket", "long": "1h", "short": "1h"}
    assert expected.items() <= fired.labels.items()
    assert fired.annotations["summary"] == "shop availability: more than 5% bad events in 1h"
    assert "is tolerated" in fired.annotations["numbers"] and "{{" not in fired.annotations["numbers"]
    assert fired.annotations["runbook_url"] == "https://runbooks.example/shop/availability"
    assert fired.annotations["sentry_url"].startswith(
        "https://sentry.example/organizations/acme/issues/?query="
    )
    assert "var-slo=availability" in fired.annotations["dashboard_url"]
    burn = wait_until(
        lambda: webhook.first("firing", alertname="ErrorBudgetBurn", long="1d"), "the burn alert arrives", 60
    )
    note("ErrorBudgetBurn 1d/2h has arrived")
    assert {
        "short": "2h",
        "burn_rate": "3",
        "exhaustion": "10d",
        "severity": "ticket",
    }.items() <= burn.labels.items()

    named = wait_until(lambda: exemplars(prometheus) & set(traces), "an exemplar of a failed request")
    note(f"an exemplar names the failed request {next(iter(named))}")

    for _ in range(MORE_OK):
        shop.get("/ok")
    note(f"{MORE_OK} good requests more")
    wait_until(
        lambda: webhook.first("resolved", alertname="ErrorBudgetLimitExceeded"),
        "the limit's alert resolves",
        60,
    )
    note("ErrorBudgetLimitExceeded is resolved at the webhook")
    assert prometheus.value('slo_events_total{slo_outcome="bad"}') == ERRORS
    print("\n".join(timeline))


def exemplars(prometheus):
    """The trace ids of the exemplars of failed requests."""
    query = urllib.parse.urlencode(
        {
            "query": 'traces_span_metrics_duration_seconds_bucket{status_code="STATUS_CODE_ERROR"}',
            "start": time.time() - 600,
            "end": time.time() + 10,
        }
    )
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/query_exemplars?{query}", timeout=10) as answer:
        found = json.load(answer)["data"]
    return {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
