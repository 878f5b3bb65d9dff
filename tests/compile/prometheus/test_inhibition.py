"""Which alerts mute others, asked of a real Alertmanager with the generated configuration."""

import json
from urllib.request import Request, urlopen

import pytest

from support.alertmanager import Alertmanager, Webhook
from support.launch import wait_until

PAGE = {"alertname": "ErrorBudgetBurn", "sloth_severity": "page", "long": "6h"}
ABSENT = {"alertname": "SLIMetricAbsent", "sloth_severity": "ticket"}


@pytest.fixture
def alertmanager(tmp_path):
    """Start one; the call sends alerts of objectives."""
    webhook = Webhook()
    manager = Alertmanager(tmp_path, webhook, inhibits=True)

    def send(*alerts):
        body = json.dumps([{"labels": each} for each in alerts]).encode()
        address = f"http://127.0.0.1:{manager.port}/api/v2/alerts"
        ask = Request(address, data=body, headers={"Content-Type": "application/json"})
        with urlopen(ask, timeout=60) as answer:
            assert answer.status == 200

    yield send, webhook
    manager.close()
    webhook.close()


def test_a_service_that_is_down_mutes_no_page_and_what_mutes_a_page_is_muted_by_none(alertmanager):
    """Only where bad events cannot be computed is the burn no news; the ticket that says so arrives."""
    send, webhook = alertmanager
    down, broken = ({"service": name, "slo": "availability"} for name in ("down", "broken"))
    send(
        {**ABSENT, **down, "reason": "absent"},
        {**ABSENT, **broken, "reason": "operand"},
        {**PAGE, **down},
        {**PAGE, **broken},
    )
    wait_until(
        lambda: webhook.first("firing", **PAGE, **down), "the page of the service that is down arrives"
    )
    wait_until(lambda: webhook.first("firing", **ABSENT, **broken), "the ticket that mutes a page arrives")
    assert webhook.first("firing", **PAGE, **broken) is None
