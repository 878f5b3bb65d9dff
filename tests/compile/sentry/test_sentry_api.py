"""What `slotel generate` writes for Sentry: the bodies, and the script that sends them, run for real.

The Sentry that the script talks to is a double: it keeps what it is sent and lists it again. No Sentry is here.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from slotel.compile.sentry import api as sentry_api
from slotel.config.service import Service
from support import services
from support.real import require_real

TOKEN = "sntrys_not_a_real_token"
ORGANISATION, PROJECT = "/api/0/organizations/acme", "/api/0/projects/acme/shop"


@dataclass
class SentryDouble:
    """Keeps bodies by path; answers 401 to another token, 400 to what it is told to refuse."""

    kept: dict[str, list[dict]] = field(default_factory=dict)
    refuses: str = ""
    url: str = ""


@contextmanager
def sentry_double() -> Iterator[SentryDouble]:
    double = SentryDouble()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                return self._answer(401, {"detail": "Invalid token"})
            return self._answer(200, double.kept.get(self.path.split("?")[0], []))

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                return self._answer(401, {"detail": "Invalid token"})
            if double.refuses and double.refuses in self.path:
                return self._answer(400, {"detail": "no such team"})
            double.kept.setdefault(self.path, []).append(body)
            return self._answer(201, body)

        def _answer(self, status, value):
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()


def written(service: Service, directory: Path) -> Path:
    for name, text in sentry_api.files(service).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory / sentry_api.SCRIPT


def apply(script: Path, url: str, token: str = TOKEN, **more: str) -> subprocess.CompletedProcess[str]:
    require_real("curl")
    environ = {"PATH": os.environ["PATH"], "SENTRY_URL": url, "SENTRY_AUTH_TOKEN": token, "SENTRY_PROJECT": "shop",
               "SENTRY_TEAM_ID": "42", **more}  # fmt: skip
    return subprocess.run(["sh", str(script)], env=environ, capture_output=True, text=True, timeout=170)


@pytest.fixture(scope="module")
def example() -> Service:
    return services.service(services.EXAMPLE)


def body(service: Service, file: str) -> dict:
    return json.loads(sentry_api.files(service)[f"sentry/{file}.json"])


def test_the_error_rate_over_the_limit_in_the_window_is_a_metric_alert(example):
    rule = body(example, "alert-rules/recommendations-error-rate")
    assert rule["aggregate"] == "failure_rate()"
    assert rule["timeWindow"] == 60
    assert rule["triggers"][0]["alertThreshold"] == 0.05
    assert rule["query"].startswith('transaction:"* /recommendations*" ')
    assert '!transaction:"* /healthz"' in rule["query"]


def test_a_latency_objective_alerts_on_p95_and_on_its_own_percentile_in_milliseconds(example):
    rules = [body(example, f"alert-rules/latency-{name}") for name in ("p95", "p99")]
    assert [rule["aggregate"] for rule in rules] == [
        "percentile(transaction.duration,0.95)",
        "percentile(transaction.duration,0.99)",
    ]
    assert [rule["triggers"][0]["alertThreshold"] for rule in rules] == [300.0, 300.0]


def test_new_issue_regression_and_a_breached_budget_are_issue_alerts(example):
    condition = {
        name: body(example, f"issue-rules/{name}")["conditions"][0]["id"].rsplit(".", 1)[1]
        for name in ("new-issue", "regression", "budget")
    }
    assert condition == {
        "new-issue": "FirstSeenEventCondition",
        "regression": "RegressionEventCondition",
        "budget": "EveryEventCondition",
    }
    (tagged,) = body(example, "issue-rules/budget")["filters"]
    assert (tagged["key"], tagged["match"], tagged["value"]) == ("slo_state", "eq", "breached")


def test_the_dashboard_shows_error_rate_users_affected_and_budget_on_a_grid_without_overlap(example):
    made = body(example, "dashboard")
    titles = [widget["title"] for widget in made["widgets"]]
    assert {"Error rate", "Users affected", "Budget breaches"} <= set(titles)
    taken = set()
    for widget in made["widgets"]:
        at = widget["layout"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 6 and not cells & taken
        taken |= cells


def test_an_objective_that_sentry_cannot_express_is_named_with_the_reason_and_has_no_rule():
    text = """\
service: shop
slos:
  - {name: odd, objective: 99%, bad: {attributes: {payment.state: declined}}}
  - {name: sliced, objective: 99%, time_slices: {length: 1m, limit: 5%}}
  - {name: even, objective: 99%, window: 45m}
"""
    made = sentry_api.files(services.service(text))
    manifest = json.loads(made[sentry_api.MANIFEST])
    assert manifest["left_out"] == [
        "'odd' has no rule in Sentry: what is bad is told by attributes (payment.state)",
        "'sliced' has no rule in Sentry: it counts slices of time",
    ]
    assert [path for path in made if "alert-rules" in path] == ["sentry/alert-rules/even-error-rate.json"]
    assert json.loads(made["sentry/alert-rules/even-error-rate.json"])["timeWindow"] == 60, (
        "45 m is none of Sentry's"
    )


@pytest.mark.real
def test_the_script_creates_everything_once(example, tmp_path):
    script = written(example, tmp_path)
    with sentry_double() as sentry:
        first = apply(script, sentry.url)
        assert first.returncode == 0, first.stderr
        counts = {path: len(kept) for path, kept in sentry.kept.items()}
        assert counts == {
            f"{ORGANISATION}/alert-rules/": 4,
            f"{PROJECT}/rules/": 3,
            f"{ORGANISATION}/dashboards/": 1,
        }
        assert "{" + "project}" not in json.dumps(sentry.kept) and "{team}" not in json.dumps(sentry.kept)
        rule = sentry.kept[f"{ORGANISATION}/alert-rules/"][0]
        assert rule["projects"] == ["shop"]
        assert rule["triggers"][0]["actions"][0]["targetIdentifier"] == "42"

        second = apply(script, sentry.url)
        assert second.returncode == 0, second.stderr
        assert second.stdout.count("there already") == 8
        assert {path: len(kept) for path, kept in sentry.kept.items()} == counts


@pytest.mark.real
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"token": "wrong"}, "401"),
        ({"SENTRY_TEAM_ID": ""}, "the id of the team"),
        ({"SENTRY_PROJECT": "a/b; rm -rf ."}, "are slugs"),
    ],
)
def test_the_script_stops_at_a_wrong_call_says_why_and_never_shows_the_token(example, tmp_path, change, said):
    script = written(example, tmp_path)
    with sentry_double() as sentry:
        done = apply(script, sentry.url, **change)
        assert done.returncode != 0
        assert said in done.stderr
        assert TOKEN not in done.stdout + done.stderr
        assert sentry.kept == {}


@pytest.mark.real
def test_what_sentry_refuses_is_shown_with_its_reason(example, tmp_path):
    script = written(example, tmp_path)
    with sentry_double() as sentry:
        sentry.refuses = "alert-rules"
        done = apply(script, sentry.url)
        assert done.returncode == 1
        assert "refused: checkout availability" in done.stderr and "no such team" in done.stderr


def test_a_service_name_runs_nothing_in_the_shell(tmp_path):
    """slotel.yaml is trusted, yet a quote in a name must not become a command."""
    name = 'it\'s "$(touch pwned)" `touch pwned`'
    service = services.service(f"service: {json.dumps(name)}\nslos: [{{name: a, objective: 99%}}]\n")
    script = written(service, tmp_path)
    done = apply(script, "http://127.0.0.1:1", DRY_RUN="1", SENTRY_ORG="acme")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("pwned"))


def test_the_repositorys_own_sentry_is_what_the_example_gives(example):
    for path, text in sentry_api.files(example).items():
        assert (services.ROOT / path).read_text(encoding="utf-8") == text, (
            f"run: slotel generate ... for {path}"
        )
