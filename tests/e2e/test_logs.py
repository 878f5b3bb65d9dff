"""OpenTelemetry's logs under slotel: with the ids of their request, tagged as its spans, without secrets, the app's own unchanged."""

import sys

from support.launch import Launched, wait_until
from support.otlp import Endpoint

APP = '''
import logging, os
from flask import Flask
from waitress import serve
import slotel

app = Flask("shop")


class Own(logging.StreamHandler):
    """The app's own handler: it must see what the app said."""


logging.getLogger().addHandler(Own())


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/pay")
def pay():
    slotel.set_custom_tags(team="red")
    logging.getLogger("shop").error(
        "refused: https://u:hunter2@bank/?token=hunter2", extra={"card.pin": "hunter2", "tier": "gold"}
    )
    return "no"


logging.getLogger("shop").warning("starting with password=hunter2")
serve(app, host="127.0.0.1", port=int(os.environ["PORT"]))
'''
YAML = """\
version: 1
tags:
  set: {region: eu}
  required: {team: {default: nobody}, tier: {allowed: [free, pro], default: free}}
  redact: ["*.pin"]
"""


def test_a_requests_log_records_carry_its_ids_and_tags_and_no_secret(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "slotel.yaml").write_text(YAML)
    with Endpoint() as collector:
        env = {
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.base,
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with Launched(sys.executable, "app.py", env=env, cwd=tmp_path) as service:
            service.wait_ready()
            assert service.get("/pay")[0] == 200
            logs = wait_until(
                lambda: (
                    {
                        log.body: log
                        for log in collector.logs
                        if "refused" in str(log.body) or "starting" in str(log.body)
                    }
                    if any("refused" in str(log.body) for log in collector.logs)
                    else None
                ),
                "the log records at the collector",
            )
            [span] = wait_until(
                lambda: [each for each in collector.spans if each.name == "GET /pay"], "the request's span"
            )
            assert service.said("refused: https://u:hunter2@bank/?token=hunter2")
    within = logs["refused: https://[Filtered]@bank/?token=[Filtered]"]
    outside = logs["starting with password=[Filtered]"]
    assert (within.trace_id, within.span_id) == (span.trace_id, span.span_id)
    assert (outside.trace_id, outside.span_id) == (b"", b"")
    tags = {key: within.attributes[key] for key in ("region", "team", "tier", "card.pin")}
    assert tags == {"region": "eu", "team": "red", "tier": "free", "card.pin": "[Filtered]"}
    assert {key: span.attributes[key] for key in ("region", "team")} == {"region": "eu", "team": "red"}
    assert {key: outside.attributes[key] for key in ("region", "team", "tier")} == {
        "region": "eu", "team": "nobody", "tier": "free",
    }  # fmt: skip
    assert within.resource["service.name"] == "shop"
