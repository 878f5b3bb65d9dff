"""A project as its framework's own generator makes it starts and serves under auto-instrumentation as without it."""

import subprocess
import sys

import pytest

from support.launch import APPS, Launched, wait_until

SERVERS = {
    "wsgi.py": ["gunicorn", "-b", "127.0.0.1:{port}", "shop.wsgi"],
    "asgi.py": ["uvicorn", "--port", "{port}", "--log-level", "warning", "shop.asgi:application"],
    "manage.py": [sys.executable, "manage.py", "runserver", "--noreload", "{port}"],
}
PATHS = ["/admin/login/", "/missing", "/"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("django")
    subprocess.run([sys.executable, "-m", "django", "startproject", "shop", folder], check=True, timeout=120)
    return folder


def answers(project, command, *, launcher):
    with Launched(*command, launcher=launcher, cwd=project).wait_ready("/admin/login/") as service:
        statuses = [service.get(path)[0] for path in PATHS]
        counted = (
            wait_until(lambda: outcomes(service, service.requests), "all requests are counted")
            if launcher
            else None
        )
        return statuses, counted, service.requests


def outcomes(service, requests):
    found = {
        outcome: service.sample("slo_events_total", slo_name="availability", slo_outcome=outcome)
        for outcome in ("good", "bad", "excluded")
    }
    return found if sum(found.values()) == requests else None


@pytest.mark.parametrize("names_settings", SERVERS)
def test_a_django_project_whose_settings_only_this_file_names_serves_as_without_slotel(
    project, names_settings
):
    command = SERVERS[names_settings]
    bare, _, _ = answers(project, command, launcher=False)
    served, counted, requests = answers(project, command, launcher=True)
    assert served == bare == [200, 404, 200]
    assert counted == {"good": requests, "bad": 0.0, "excluded": 0.0}


def test_the_home_page_of_a_django_project_has_the_route_of_the_root(tmp_path):
    code = (
        "import django_app\n"
        "from django.test import Client; from slotel.runtime.state import current\n"
        "Client().get('/'); Client().get('/missing')\n"
        "families = {f.name: f for f in current().store.snapshot()}\n"
        "print(sorted((key[1], key[4]) for key in families['traces_span_metrics_calls'].series))"
    )
    env = {"PYTHONPATH": str(APPS / "matrix")}
    service = Launched(sys.executable, "-c", code, env=env, cwd=tmp_path)
    wait_until(lambda: "GET" in service.log, "it prints the names")
    assert "[('GET', ''), ('GET /', '/')]" in service.stop()


def test_a_wrong_settings_module_fails_as_without_slotel(tmp_path):
    def last_line(launcher):
        command = [sys.executable, "-c", "from django.core.wsgi import get_wsgi_application as get; get()"]
        env = {"DJANGO_SETTINGS_MODULE": "missing_settings"}
        service = Launched(*command, launcher=launcher, env=env, cwd=tmp_path)
        wait_until(lambda: "Error" in service.log, "it fails")
        return service.stop().splitlines()[-1]

    assert last_line(launcher=True) == last_line(launcher=False)
