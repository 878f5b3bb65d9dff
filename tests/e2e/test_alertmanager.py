"""Pages and tickets of two groups with hostile names, from counters to the webhook: routed, muted, silenced, resolved."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

import pytest

from slotel.cli.generate import compile_all
from slotel.config.foreign.formats import Source, read_files
from support.alertmanager import Alertmanager, Webhook
from support.launch import wait_until
from support.prom import Prometheus

INTERVAL = "500ms"
HOSTILE = 'a"b\\c {{ $value }} <b>é</b>, {{ end }}\nline'
CALM = "calm"
SPEC = """\
version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99
    description: Orders are {{ taken }}.
    sli:
      events:
        error_query: sum by (tenant) (rate(orders_total{code="500"}[{{.window}}]))
        total_query: sum by (tenant) (rate(orders_total[{{.window}}]))
    alerting:
      name: OrdersBurn
      labels: {team: orders}
      annotations: {runbook: "https://runbooks.example/orders?a=1&b=%20"}
      page_alert: {labels: {channel: phone}}
      ticket_alert: {labels: {channel: mail}}
"""


class Orders:
    """Serves counters of a service in another language."""

    def __init__(self):
        self.counts = {(tenant, code): 0 for tenant in (HOSTILE, CALM) for code in (200, 500)}
        orders = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                escaped = (
                    (tenant.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"), code, count)
                    for (tenant, code), count in orders.counts.items()
                )
                lines = (f'orders_total{{tenant="{name}",code="{code}"}} {n}\n' for name, code, n in escaped)
                body = "".join(("# TYPE orders_total counter\n", *lines)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fleet(tmp_path):
    """The counters, Prometheus with the generated rules, and what arrives by an Alertmanager with the generated routes."""
    (reading,) = read_files({}, [Source("sloth.yaml", SPEC)])
    assert reading.problems == ()
    text = compile_all(reading.service, ["slotel.compile.prometheus.rules"])["prometheus/rules.yaml"]
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        text.replace("interval: 30s", f"interval: {INTERVAL}").replace("interval: 2m", "interval: 2s")
    )
    orders, webhook = Orders(), Webhook()
    manager = Alertmanager(tmp_path, webhook, inhibits=True)
    prometheus = Prometheus(
        tmp_path / "prometheus",
        {"shop": [f"127.0.0.1:{orders.server.server_port}"]},
        [rules],
        INTERVAL,
        [f"127.0.0.1:{manager.port}"],
    )
    yield orders, prometheus, manager, webhook
    prometheus.stop()
    manager.close()
    webhook.close()
    orders.close()


def silence(manager, **labels):
    """Silence what has these labels, for an hour."""
    now = time.time()
    matchers = [
        {"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in labels.items()
    ]
    times = {
        name: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        for name, at in (("startsAt", now - 60), ("endsAt", now + 3600))
    }
    body = json.dumps({"matchers": matchers, **times, "createdBy": "test", "comment": "known"}).encode()
    ask = Request(
        f"http://127.0.0.1:{manager.port}/api/v2/silences", body, {"Content-Type": "application/json"}
    )
    with urlopen(ask, timeout=60) as answer:
        assert answer.status == 200


@pytest.mark.real
def test_a_page_of_a_group_with_a_hostile_name_arrives_mutes_its_tickets_is_silenced_and_resolves(fleet):
    orders, prometheus, manager, webhook = fleet
    wait_until(lambda: len(prometheus.query("count_over_time(orders_total[5m]) >= 3")) == 4, "scrapes")
    orders.counts[HOSTILE, 500] += 60
    orders.counts[HOSTILE, 200] += 40
    orders.counts[CALM, 200] += 100
    page = wait_until(lambda: webhook.first("firing", severity="page", long="1h"), "the page", 60)
    assert page.path == "/page"
    expected = {
        "alertname": "OrdersBurn", "service": "shop", "slo": "availability", "tenant": HOSTILE,
        "slo_group": HOSTILE, "team": "orders", "channel": "phone", "sloth_severity": "page",
    }  # fmt: skip
    assert expected.items() <= page.labels.items()
    assert page.annotations["description"] == "Orders are {{ taken }}."
    assert page.annotations["runbook"] == "https://runbooks.example/orders?a=1&b=%20"
    wait_until(
        lambda: prometheus.query('ALERTS{alertname="OrdersBurn",severity="ticket",alertstate="firing"}'),
        "tickets fire in Prometheus",
        60,
    )
    wait_until(
        lambda: prometheus.query('ALERTS{alertname="ErrorBudgetExhausted",alertstate="firing"}'),
        "the budget is spent",
        60,
    )
    time.sleep(3)  # Alertmanager would have sent them after one
    of_hostile = [alert for alert in webhook.arrived if alert.labels.get("tenant") == HOSTILE]
    assert {alert.labels["severity"] for alert in of_hostile} == {"page"}
    assert not [alert for alert in webhook.arrived if alert.labels.get("tenant") == CALM]
    numbers = [alert.annotations["numbers"] for alert in of_hostile if alert.labels["long"] == "1h"][-1]
    assert numbers.startswith("60% bad in 1h (") and "; 1% is tolerated" in numbers, numbers
    assert "()" not in numbers and "( of" not in numbers, numbers  # the queries have found the group

    silence(manager, service="shop", slo="availability", tenant=HOSTILE, severity="ticket")
    orders.counts[CALM, 500] += 50
    wait_until(lambda: webhook.first("firing", severity="page", tenant=CALM), "another group's page", 60)
    for tenant in (HOSTILE, CALM):
        orders.counts[tenant, 200] += 100_000
    for tenant in (HOSTILE, CALM):
        wait_until(
            lambda tenant=tenant: webhook.first("resolved", severity="page", tenant=tenant),
            f"{tenant}: the page resolves",
            60,
        )
    assert not [
        alert
        for alert in webhook.arrived
        if alert.labels["severity"] == "ticket" and alert.labels["tenant"] == HOSTILE
    ]
