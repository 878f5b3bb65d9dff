"""Against a real GlitchTip: GLITCHTIP_URL, and GLITCHTIP_TOKEN of a user who may make projects. Skipped without.

Creates a team and a project, sends by slotel's own start, reads back by GlitchTip's API, resolves, sends again. The
token needs the scopes org:read, org:write, team:write, project:read, project:admin, event:read and event:write, its user
the role admin. The paths and fields are those of GlitchTip's own modules (organizations, teams, projects, issue events,
performance); an organization is made only where the user has none.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

import pytest

from support.launch import APPS, LAUNCHER, clean_environ, wait_until

URL, TOKEN = os.environ.get("GLITCHTIP_URL", "").rstrip("/"), os.environ.get("GLITCHTIP_TOKEN", "")
pytestmark = pytest.mark.skipif(
    not (URL and TOKEN), reason="set GLITCHTIP_URL and GLITCHTIP_TOKEN to run this against a GlitchTip"
)


def api(path, method="GET", body=None):
    request = urllib.request.Request(
        f"{URL}/api/0/{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@pytest.fixture(scope="module")
def project():
    organizations = api("organizations/")
    organization = (organizations or [api("organizations/", "POST", {"name": "slotel"})])[0]["slug"]
    name = f"slotel-{uuid.uuid4().hex[:8]}"
    api(f"organizations/{organization}/teams/", "POST", {"slug": name})
    made = api(f"teams/{organization}/{name}/projects/", "POST", {"name": name, "platform": "python"})
    (key, *_) = api(f"projects/{organization}/{made['slug']}/keys/")
    yield organization, made, key["dsn"]["public"]
    api(f"projects/{organization}/{made['slug']}/", "DELETE")


def send(dsn, release):
    env = clean_environ(
        SENTRY_DSN=dsn, SENTRY_RELEASE=release, SENTRY_ENVIRONMENT="live", OTEL_METRICS_EXPORTER="none",
        OTEL_TRACES_EXPORTER="none", OTEL_SERVICE_NAME="shop",
    )  # fmt: skip
    command = [str(LAUNCHER), sys.executable, "span_api.py", "slotel"]
    subprocess.run(command, env=env, cwd=APPS / "errors", timeout=170, check=True, capture_output=True)


def test_errors_are_issues_that_resolve_and_regress_and_transactions_are_stored(project):
    organization, made, dsn = project

    def issues():
        found = api(f"organizations/{organization}/issues/?project={made['id']}")
        return [issue for issue in found if "inside a span" in issue["title"]]

    send(dsn, "r1")
    (issue,) = wait_until(issues, "the issue")
    event = api(f"issues/{issue['id']}/events/latest/")
    tags = {tag["key"]: tag["value"] for tag in event["tags"]}
    assert (tags["environment"], tags["release"]) == ("live", "r1")
    assert tags["service"] == "shop"

    def transactions():
        found = api(f"organizations/{organization}/transaction-groups/?project={made['id']}")
        return {"nightly", "continued"} <= {group["transaction"] for group in found}

    wait_until(transactions, "the transactions")
    api(f"issues/{issue['id']}/", "PUT", {"status": "resolved"})
    assert api(f"issues/{issue['id']}/")["status"] == "resolved"
    time.sleep(1)  # GlitchTip compares seconds
    send(dsn, "r2")
    wait_until(lambda: api(f"issues/{issue['id']}/")["status"] == "unresolved", "the issue is opened again")
    assert len(issues()) == 1
