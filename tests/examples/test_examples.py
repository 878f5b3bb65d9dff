"""The examples as their READMEs start them, under opentelemetry-instrument: requests counted, errors linked, tags there, names right."""

import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import Launched, clean_environ, wait_until
from support.ports import free_port
from support.postgres_server import postgres_server
from support.real import require_real

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BIN = ROOT / ".venv-apps/bin"
CHOSEN = {"OTEL_PYTHON_DISTRO": "slotel", "OTEL_PYTHON_CONFIGURATOR": "slotel"}
REQUESTS = {"/items/1": 200, "/items/9": 404, "/fail": 500}
WEB = {
    "flask": ["gunicorn", "--workers", "2", "--bind", "127.0.0.1:{port}", "app:app"],
    "fastapi": ["uvicorn", "app:app", "--port", "{port}"],
    "starlette": ["uvicorn", "app:app", "--port", "{port}"],
    "aiohttp": ["python", "app.py"],
    "django wsgi": ["gunicorn", "--bind", "127.0.0.1:{port}", "shop.wsgi"],
    "django asgi": ["uvicorn", "--port", "{port}", "shop.asgi:application"],
}
"""Example → the command of its README."""


@pytest.fixture(autouse=True, scope="module")
def apps():
    """The environment with every framework."""
    if (BIN / "opentelemetry-instrument").exists():
        return
    message = "the frameworks are not installed: make apps"
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def sink():
    with SentrySink() as started:
        yield started


def environ(sink, **more):
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    return {**CHOSEN, "SENTRY_DSN": sink.dsn(1), "PATH": path, **more}


def launched(folder, *command, sink, **more):
    program = str(BIN / command[0])
    return Launched(
        str(BIN / "opentelemetry-instrument"), program, *command[1:], launcher=False, cwd=folder, env=environ(sink, **more)
    )  # fmt: skip


def run(folder, *command, sink, **more):
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=folder, env=clean_environ(**environ(sink, **more)),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def folder_of(name, tmp_path):
    """The folder that the command is run in; Django's is made by its own generator, as the README says."""
    if not name.startswith("django"):
        return EXAMPLES / name
    subprocess.run([str(BIN / "django-admin"), "startproject", "shop"], cwd=tmp_path, check=True)
    for each in ("views.py", "urls.py"):
        shutil.copy(EXAMPLES / "django" / each, tmp_path / "shop/shop")
    return tmp_path / "shop"


def outcomes(service, **labels):
    """The events of the default objective by outcome, without those that nothing happened to."""
    counted = {
        outcome: service.sample("slo_events_total", slo_outcome=outcome, **labels)
        for outcome in ("good", "bad")
    }
    return {outcome: count for outcome, count in counted.items() if count}


def errors(sink):
    return [event for event in sink.payloads("event") if event.get("logger") != "slotel.budget"]


def trace_of(item):
    return item["contexts"]["trace"]["trace_id"]


@pytest.mark.parametrize("name", WEB)
def test_the_command_of_a_web_service_is_that_of_its_readme(name):
    command = " ".join(["opentelemetry-instrument", *WEB[name]]).replace("{port}", "8000")
    assert f"\n{command}" in (EXAMPLES / name.split()[0] / "README.md").read_text()


@pytest.mark.parametrize("name", WEB)
def test_a_web_service(name, sink, tmp_path):
    with launched(folder_of(name, tmp_path), *WEB[name], sink=sink) as service:
        service.wait_ready()
        assert {path: service.get(path)[0] for path in REQUESTS} == REQUESTS
        wait_until(lambda: sum(outcomes(service).values()) >= 3, "every request counted")
        assert outcomes(service) == {"good": 2, "bad": 1}
        wait_until(
            lambda: len(errors(sink)) == 1 and sink.transactions >= 3, f"one error; there are {sink.stats()}"
        )
        by_status = {int(labels["http_response_status_code"]) for labels, value in calls(service) if value}
    assert by_status >= {200, 404}  # an exception that escapes has no status yet where ASGI's server makes it
    [event] = errors(sink)
    assert event["exception"]["values"][-1]["value"] == "the payment provider is down"
    transactions = {each["transaction"]: each for each in sink.payloads("transaction")}
    failed = next(each for title, each in transactions.items() if title.endswith(("/fail", " fail")))
    assert trace_of(event) == trace_of(failed)
    item = next(each for title, each in transactions.items() if "items/" in title)
    assert re.search(r"items/[{<]", item["transaction"]), "the route, not the path"
    assert item["tags"]["team"] == "catalogue"


def calls(service):
    samples = service.samples("traces_span_metrics_calls_total")
    return [(labels, value) for labels, value in samples if labels.get("http_response_status_code")]


def test_a_grpc_service(sink):
    folder = EXAMPLES / "grpc"
    with launched(folder, "python", "server.py", sink=sink) as service:
        wait_until(lambda: "ready" in service.log, "the server")
        done = run(folder, "python", "client.py", sink=sink, PORT=str(service.port))
        assert done.stdout.split() == ["hello", "Ada", "hello", "Grace", "INVALID_ARGUMENT", "UNKNOWN"], (
            done.stderr
        )
        wait_until(lambda: sum(outcomes(service).values()) >= 4, "every call counted")
        assert outcomes(service) == {"good": 3, "bad": 1}
        wait_until(lambda: len(errors(sink)) == 1 and sink.transactions == 4, "the calls")
    assert {each["transaction"] for each in sink.payloads("transaction")} == {
        "/shop.Greeter/Greet",
        "/shop.Greeter/Fail",
    }


@contextmanager
def redis():
    server = require_real("redis-server")
    port = free_port()
    process = subprocess.Popen(
        [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(20)


def test_celery_with_redis(sink):
    folder = EXAMPLES / "celery"
    with redis() as url:
        command = [
            "celery",
            "-A",
            "tasks",
            "worker",
            "--concurrency",
            "2",
            "--without-mingle",
            "--loglevel",
            "INFO",
        ]
        with launched(folder, *command, sink=sink, REDIS_URL=url) as service:
            wait_until(lambda: "ready." in service.log, "the worker")
            done = run(
                folder,
                "opentelemetry-instrument",
                str(BIN / "python"),
                "send.py",
                sink=sink,
                REDIS_URL=url,
                OTEL_METRICS_EXPORTER="none",
            )
            assert done.returncode == 0, done.stderr
            wait_until(lambda: sum(outcomes(service).values()) >= 3, "every task counted")
            assert outcomes(service) == {"good": 2, "bad": 1}
            wait_until(lambda: len(errors(sink)) == 1, "the error")
    [event] = errors(sink)
    transactions = [each for each in sink.payloads("transaction") if "charge" in each["transaction"]]
    assert trace_of(event) in {trace_of(each) for each in transactions}


def test_a_job_of_cron(sink):
    folder = EXAMPLES / "cron"
    for day, code in (("tuesday", 0), ("monday", 1)):
        done = run(folder, "opentelemetry-instrument", str(BIN / "python"), "nightly.py", day, sink=sink,
                   OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()))  # fmt: skip
        assert done.returncode == code, done.stderr
    assert [each["transaction"] for each in sink.payloads("transaction")] == ["nightly report"] * 2
    [event] = errors(sink)
    assert trace_of(event) == trace_of(sink.payloads("transaction")[1])


def test_a_serverless_handler(sink):
    done = run(
        EXAMPLES / "serverless",
        "python",
        "invoke.py",
        sink=sink,
        OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
    )
    assert done.stdout.splitlines() == ["{'width': 1600, 'height': 900}", "failed: a width is above 0"], (
        done.stderr
    )
    assert [each["transaction"] for each in sink.payloads("transaction")] == ["resize", "resize"]
    assert {each["tags"].get("team") for each in sink.payloads("transaction")} == {"media"}
    assert len(errors(sink)) == 1


def test_sqlalchemy_with_postgresql(sink):
    folder = EXAMPLES / "sqlalchemy"
    with postgres_server() as port:
        url = f"postgresql+psycopg://shop@127.0.0.1:{port}/postgres"
        create = ["python", "-c", "import app; app.create()"]
        until = time.monotonic() + 60
        while run(folder, *create, sink=sink, DATABASE_URL=url).returncode:
            assert time.monotonic() < until, "no database"
        command = ["waitress-serve", "--listen=127.0.0.1:{port}", "app:app"]
        with launched(folder, *command, sink=sink, DATABASE_URL=url) as service:
            service.wait_ready()
            assert {path: service.get(path)[0] for path in REQUESTS} == REQUESTS
            wait_until(lambda: sink.transactions >= 3 and len(errors(sink)) == 1, "the transactions")
            queries = [
                labels
                for labels, _ in service.samples("traces_span_metrics_calls_total")
                if "SELECT" in labels["span_name"]
            ]
            ((edge, _),) = service.samples("traces_service_graph_request_total")
    assert queries
    assert (edge["server"], edge["connection_type"]) == ("postgres", "database")
    item = next(each for each in sink.payloads("transaction") if "/items/" in each["transaction"])
    assert any("SELECT name, price FROM items" in str(span.get("description")) for span in item["spans"])


def test_two_services_share_a_trace(sink):
    folder = EXAMPLES / "two-services"
    with launched(
        folder, "uvicorn", "stock:app", "--port", "{port}", sink=sink, OTEL_SERVICE_NAME="stock"
    ) as stock:
        stock.wait_ready()
        url = f"http://127.0.0.1:{stock.port}"
        front = ["waitress-serve", "--listen=127.0.0.1:{port}", "frontend:app"]
        with launched(folder, *front, sink=sink, STOCK_URL=url) as service:
            service.wait_ready()
            assert service.get("/items/1")[0] == 200
            assert service.get("/items/13")[0] == 500
            wait_until(
                lambda: len(named(sink, "/stock/")) == 2 and len(named(sink, "/items/")) == 2,
                "four transactions",
            )
            calls, failed = (
                service.samples(f"traces_service_graph_request{what}_total") for what in ("", "_failed")
            )
    assert [(labels["server"], labels["connection_type"], value) for labels, value in calls] == [
        ("127.0.0.1", "virtual_node", 2.0)
    ]
    assert [value for _, value in failed] == [1.0]
    assert {trace_of(each) for each in named(sink, "/stock/")} == {
        trace_of(each) for each in named(sink, "/items/")
    }


def named(sink, part):
    return [each for each in sink.payloads("transaction") if part in each["transaction"]]


def test_each_example_is_short_and_has_a_readme():
    folders = [path for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert {path.name for path in folders} >= {
        "flask",
        "django",
        "fastapi",
        "starlette",
        "aiohttp",
        "grpc",
        "celery",
    }
    for folder in folders:
        assert (folder / "README.md").read_text().startswith("# ")
        code = sum(len(path.read_text().splitlines()) for path in folder.glob("*.py"))
        assert 15 <= code <= 60, folder.name
