"""deploy/compose, as far as a machine without images can check it: loaded by Compose's own loader, every reference followed."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from ruamel.yaml import YAML

from support.kept import run_kept
from support.launch import free_port, wait_until
from support.once import alone
from support.otelcol import BUILD_LIMIT, ROOT
from support.real import require_real

FOLDER = ROOT / "deploy/compose"
LOADER = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
LISTENS = {
    "service": {8080, 9464},
    "volume-owner": set(),
    "queues": set(),
    "collector": {4317, 4318, 8888, 8889, 13133},
    "collector-health": set(),
    "prometheus": {9090},
    "alertmanager": {9093},
    "alerts": {9095},
    "grafana": {3000},
    "glitchtip": {8000},
    "glitchtip-db": {5432},
}
"""The ports that each container listens on, by its configuration or its image's documentation."""


@pytest.fixture(scope="module")
def compose():
    return YAML(typ="safe").load((FOLDER / "compose.yaml").read_text())


def test_composes_own_loader_takes_the_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compose") / "deploy" / "compose"
    shutil.copytree(FOLDER, folder)
    file = folder / "compose.yaml"
    file.write_text(re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "made-by-up-sh", file.read_text()))
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    ):
        command = ["docker", "compose", "config"]
    else:
        command = [require_real("go"), "run", LOADER, "compose.yaml"]
    with alone("compose-loader"):  # the first time it is compiled
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_LIMIT)
    assert run.returncode == 0, run.stderr
    assert set(YAML(typ="safe").load(run.stdout)["services"]) == set(LISTENS)


def test_every_file_that_is_mounted_or_built_from_is_there(compose):
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).exists(), (name, source)
                assert volume.endswith(":ro"), (name, volume)
            else:
                assert source in compose["volumes"], (name, source)
        if "build" in service:
            context = FOLDER / service["build"]["context"]
            dockerfile = context / service["build"]["dockerfile"]
            for line in dockerfile.read_text().splitlines():
                if line.startswith("COPY") and "--from" not in line:
                    assert all((context / source).exists() for source in line.split()[1:-1]), line


def test_every_port_is_published_on_loopback_alone_and_is_listened_on(compose):
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            host, published, inside = port.split(":")
            assert host == "127.0.0.1", (name, port)
            assert int(inside) in LISTENS[name], (name, port)
            assert (
                f"{published}" in (FOLDER / "compose.yaml").read_text().split("name: slotel")[0]
                or published == "13133"
            )
    assert "ports" not in compose["services"]["glitchtip-db"]


def test_every_image_is_pinned_and_no_password_has_a_default(compose):
    for service in compose["services"].values():
        assert "build" in service or re.fullmatch(
            r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-alpine|-slim)?", service["image"]
        ), service["image"]
    text = (FOLDER / "compose.yaml").read_text()
    for variable in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)([^}]*)\}", text):
        assert variable[1].startswith(":?"), variable
    made = (FOLDER / "up.sh").read_text()
    for variable in re.findall(r"\$\{(\w+):\?", text):
        assert f"\n{variable}=$(secret)" in made, variable


def test_every_service_has_a_health_check_and_for_the_collector_another_container_asks(compose):
    without = {name for name, service in compose["services"].items() if "healthcheck" not in service}
    assert without == {"collector", "queues", "volume-owner"}
    asked = compose["services"]["collector-health"]["healthcheck"]["test"][-1]
    assert asked == f"http://collector:{_port('otel-collector.yaml', 'health_check')}/"
    assert compose["services"]["service"]["depends_on"] == {
        "collector-health": {"condition": "service_healthy"}
    }


def _port(file, extension):
    """The port that an extension of a collector's file listens on by default."""
    read = YAML(typ="safe").load((ROOT / "collector" / file).read_text())
    return re.search(r":-(\d+)\}$", read["extensions"][extension]["endpoint"])[1]


def test_no_container_has_rights_of_root_but_for_what_it_does_as_root(compose):
    """Postgres' image starts as root and becomes postgres; the queue's volume is given away once."""
    for name, service in compose["services"].items():
        if name != "glitchtip-db":
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        assert service.get("user", "") not in {"0", "root"}
    given = {name: item["cap_add"] for name, item in compose["services"].items() if "cap_add" in item}
    assert given == {"volume-owner": ["CHOWN"]}
    owner, queues = compose["services"]["volume-owner"], compose["services"]["queues"]
    collector, alerts = compose["services"]["collector"], compose["services"]["alerts"]
    assert owner["command"] == [
        "chown",
        collector["user"],
        collector["environment"]["OTELCOL_STATE"],
        "/data",
    ]
    assert queues["command"][-1] == collector["environment"]["OTELCOL_STATE"]
    assert {queues["user"], alerts["user"]} == {collector["user"]}
    writable = [
        volume for item in (collector, alerts) for volume in item["volumes"] if not volume.endswith(":ro")
    ]
    assert owner["volumes"] == writable
    assert owner["restart"] == queues["restart"] == "no"


def test_every_host_and_port_that_a_configuration_names_is_there(compose):
    files = [
        FOLDER / "compose.yaml",
        FOLDER / "prometheus.yml",
        FOLDER / "alertmanager.yaml",
        *(ROOT / "grafana/provisioning/datasources").glob("*.y*ml"),
    ]
    named = [
        (file.name, host, int(port))
        for file in files
        for host, port in re.findall(r"\b(" + "|".join(LISTENS) + r"):(\d{2,5})\b(?!\.)", file.read_text())
    ]
    assert len(named) >= 7
    assert [found for found in named if found[2] not in LISTENS[found[1]]] == []


def test_the_grafana_dashboards_lie_where_their_provider_looks(compose):
    provider = YAML(typ="safe").load((ROOT / "grafana/provisioning/dashboards/slotel.yaml").read_text())
    path = provider["providers"][0]["options"]["path"]
    assert any(volume.split(":")[1] == path for volume in compose["services"]["grafana"]["volumes"])


def test_prometheus_takes_its_configuration_and_the_rules(tmp_path):
    promtool = require_real("promtool")
    text = (FOLDER / "prometheus.yml").read_text().replace("/etc/prometheus/rules", str(tmp_path))
    (tmp_path / "slotel.yaml").write_text((ROOT / "prometheus/rules.yaml").read_text())
    (tmp_path / "collector.yaml").write_text((ROOT / "collector/alerts.yaml").read_text())
    (tmp_path / "prometheus.yml").write_text(text)
    run = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 rule files found" in run.stdout


@pytest.mark.parametrize("traces", ["no-sentry", "policy"])
def test_the_collector_takes_the_files_and_variables_that_the_compose_file_gives_it(
    otelcol, compose, tmp_path, traces
):
    service = compose["services"]["collector"]
    defaults = {
        **service["environment"],
        "SENTRY_OTLP_TRACES_URL": "https://sentry.example/x",
        "SENTRY_PUBLIC_KEY": "k",
    }
    arguments = [
        part.replace("${OTELCOL_TRACES:-no-sentry}", traces).replace("/etc/otelcol", str(ROOT / "collector"))
        for part in service["command"]
    ]
    (tmp_path / "set-aside").write_text("0 broken\n")
    environ = {"PATH": os.environ["PATH"], "HOME": "/", **defaults, "OTELCOL_STATE": str(tmp_path)}
    environ["OTELCOL_SET_ASIDE"] = str(tmp_path / "set-aside")
    run = run_kept([otelcol, "validate", *arguments], tmp_path, env=environ, elsewhere=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")


def test_up_sh_makes_secrets_once_and_for_its_owner_alone(tmp_path):
    shutil.copy(FOLDER / "up.sh", tmp_path)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\necho "$@"\n')
    docker.chmod(0o755)
    environ = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    first = subprocess.run(
        ["sh", "up.sh"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    made = (tmp_path / ".env").read_text()
    subprocess.run(["sh", "up.sh", "config"], cwd=tmp_path, env=environ, capture_output=True, check=True)
    assert "compose up --detach --build --wait" in first.stdout
    assert (tmp_path / ".env").read_text() == made
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    assert len(set(re.findall(r"=([0-9a-f]{48})$", made, re.MULTILINE))) == 3


def test_alertmanager_has_the_generated_routes_and_the_page_as_its_receivers():
    example = YAML(typ="safe").load((ROOT / "prometheus/alertmanager.example.yaml").read_text())
    given = YAML(typ="safe").load((FOLDER / "alertmanager.yaml").read_text())
    for receiver in example["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = webhook["url"].replace("127.0.0.1", "alerts")
    assert given == example


def test_an_alert_of_prometheus_arrives_on_the_page_and_is_resolved_there(tmp_path):
    """The stack's own files, with the hosts of its network on loopback."""
    ports = {"alertmanager": free_port(), "alerts": free_port()}
    with ExitStack() as stack:
        environ = {
            "PATH": os.environ["PATH"],
            "PORT": str(ports["alerts"]),
            "ALERTS_FILE": str(tmp_path / "alerts.json"),
        }
        stack.enter_context(running([sys.executable, str(FOLDER / "alerts.py")], environ))
        text = (
            (FOLDER / "alertmanager.yaml")
            .read_text()
            .replace("http://alerts:9095", f"http://127.0.0.1:{ports['alerts']}")
        )
        (tmp_path / "alertmanager.yaml").write_text(
            re.sub(r"group_(wait|interval): \w+", r"group_\1: 1s", text)
        )
        stack.enter_context(
            running(
                [
                    require_real("prometheus-alertmanager"),
                    f"--config.file={tmp_path / 'alertmanager.yaml'}",
                    f"--storage.path={tmp_path / 'alertmanager'}",
                    f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
                    "--cluster.listen-address=",
                ],
                {"PATH": os.environ["PATH"]},
            )
        )

        def told(resolved):
            now = datetime.now(timezone.utc)
            alert = {
                "labels": {
                    "alertname": "ErrorBudgetBurn",
                    "severity": "page",
                    "sloth_severity": "page",
                    "service": "<checkout>",
                },
                "annotations": {"summary": "it burns"},
                "startsAt": (now - timedelta(minutes=1)).isoformat(),
                "endsAt": (now + timedelta(minutes=-1 if resolved else 10)).isoformat(),
            }
            ask = Request(
                f"http://127.0.0.1:{ports['alertmanager']}/api/v2/alerts",
                data=json.dumps([alert]).encode(),
                headers={"Content-Type": "application/json"},
                method="POST",
            )
            try:
                with urlopen(ask, timeout=60) as answer:
                    return answer.status == 200
            except OSError:
                return False

        def page():
            try:
                with urlopen(f"http://127.0.0.1:{ports['alerts']}/", timeout=10) as answer:
                    return answer.read().decode()
            except OSError:
                return ""

        wait_until(lambda: told(False), "Alertmanager takes the alert")
        wait_until(
            lambda: "<td class=firing>firing<td>page<td><b>ErrorBudgetBurn" in page(), "the page shows it"
        )
        assert "1 firing" in page() and "it burns" in page()
        assert "service=&lt;checkout&gt;" in page()
        wait_until(lambda: told(True), "Alertmanager takes its end")
        wait_until(
            lambda: "<td class=resolved>resolved<td>page<td><b>ErrorBudgetBurn" in page(),
            "the page shows its end",
        )
        assert "0 firing" in page()


def test_the_page_forgets_nothing_at_a_restart_and_takes_nothing_strange(tmp_path):
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "PORT": str(port), "ALERTS_FILE": str(tmp_path / "alerts.json")}

    def sent(path, body):
        try:
            with urlopen(
                Request(f"http://127.0.0.1:{port}{path}", data=body, method="POST"), timeout=10
            ) as answer:
                return answer.status
        except HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    alert = {"status": "firing", "fingerprint": "f", "startsAt": "now", "labels": {"alertname": "Kept"}}
    with running([sys.executable, str(FOLDER / "alerts.py")], environ):
        wait_until(
            lambda: sent("/ticket", json.dumps({"alerts": [alert]}).encode()) == 200, "it takes an alert"
        )
        assert sent("/ticket", b"{]") == 400
        assert sent("/ticket", b"[1]") == 400
        assert sent("/other", b"{}") == 404
    with running([sys.executable, str(FOLDER / "alerts.py")], environ):
        wait_until(lambda: sent("/ticket", b"{}") == 200, "it is up again")
        with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert "<b>Kept" in answer.read().decode()


@contextmanager
def running(command, environ):
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(15)
