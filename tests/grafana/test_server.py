"""The dashboards in a real Grafana, whose address is given: uploaded, read back, queried, by its HTTP API.

    GRAFANA_URL=https://grafana.example GRAFANA_TOKEN=… .venv/bin/pytest tests/grafana/test_server.py

The token needs the role Editor. The dashboards are uploaded into a folder of their own, under uids of their own, and removed.
"""

import json
import os
import sys
import urllib.error
import urllib.request

import pytest

from slotel.compile import dashboards
from support import services

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's SDK needs Python 3.11"),
]
FOLDER = "slotel-test"
MACROS = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}


class Grafana:
    def __init__(self, url: str, token: str) -> None:
        self.url, self._token = url.rstrip("/"), token

    def ask(self, method: str, path: str, body: object = None) -> dict | list:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/api/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from error


@pytest.fixture(scope="module")
def grafana():
    url = os.environ.get("GRAFANA_URL", "")
    if not url:
        pytest.skip(
            "no Grafana server: set GRAFANA_URL and GRAFANA_TOKEN to upload the dashboards, read them back and query"
        )
    server = Grafana(url, os.environ.get("GRAFANA_TOKEN", ""))
    server.ask("POST", "folders", {"uid": FOLDER, "title": "slotel test"})
    yield server
    server.ask("DELETE", f"folders/{FOLDER}?forceDeleteRules=true")


@pytest.fixture(scope="module")
def boards():
    made = {}
    for text in dashboards.files(services.service(services.EXAMPLE)).values():
        board = json.loads(text)
        board["uid"] = f"test-{board['uid']}"
        made[board["uid"]] = board
    return made


def test_each_dashboard_is_taken_and_read_back_with_all_panels_and_variables(grafana, boards):
    for uid, board in boards.items():
        grafana.ask("POST", "dashboards/db", {"dashboard": board, "folderUid": FOLDER, "overwrite": True})
        back = grafana.ask("GET", f"dashboards/uid/{uid}")["dashboard"]
        for part in ("panels", "links", "title", "time"):
            assert back[part] == board[part], (uid, part)
        assert [each["name"] for each in back["templating"]["list"]] == [
            each["name"] for each in board["templating"]["list"]
        ]


def test_every_query_is_one_that_its_prometheus_understands(grafana, boards):
    sources = [each for each in grafana.ask("GET", "datasources") if each["type"] == "prometheus"]
    assert sources, "this Grafana has no Prometheus data source"
    faults = []
    for uid, board in boards.items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                query = {
                    **target,
                    "expr": _filled(target["expr"], board),
                    "datasource": {"uid": sources[0]["uid"]},
                }
                body = {"queries": [query], "from": "now-1h", "to": "now"}
                results = grafana.ask("POST", "ds/query", body)["results"].values()
                faults += [f"{uid} {panel['title']}: {each['error']}" for each in results if "error" in each]
    assert faults == []


def _filled(expr: str, board: dict) -> str:
    for variable in board["templating"]["list"]:
        for form in (f"${{{variable['name']}}}", f"${variable['name']}"):
            expr = expr.replace(
                form, "30" if variable["name"] == "days" else "1h" if variable["name"] == "window" else ".*"
            )
    for macro, value in MACROS.items():
        expr = expr.replace(macro, value)
    return expr.replace("${__from:date:seconds}", "0").replace("${__to:date:seconds}", "1")
