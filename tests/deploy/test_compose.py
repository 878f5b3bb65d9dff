"""deploy/compose, as far as a machine without images can check it: loaded by Compose's own loader, every reference followed."""

import os
import re
import shutil
import subprocess

import pytest
from ruamel.yaml import YAML

from support.otelcol import ROOT
from support.real import require_real

FOLDER = ROOT / "deploy/compose"
LOADER = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
LISTENS = {
    "service": {8080, 9464},
    "queue-owner": set(),
    "collector": {4317, 4318, 8888, 8889, 13133},
    "collector-health": set(),
    "prometheus": {9090},
    "alertmanager": {9093},
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
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
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
            r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-alpine)?", service["image"]
        ), service["image"]
    text = (FOLDER / "compose.yaml").read_text()
    for variable in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)([^}]*)\}", text):
        assert variable[1].startswith(":?"), variable
    made = (FOLDER / "up.sh").read_text()
    for variable in re.findall(r"\$\{(\w+):\?", text):
        assert f"\n{variable}=$(secret)" in made, variable


def test_every_service_has_a_health_check_and_for_the_collector_another_container_asks(compose):
    without = {name for name, service in compose["services"].items() if "healthcheck" not in service}
    assert without == {"collector", "queue-owner"}
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
    assert given == {"queue-owner": ["CHOWN"]}
    owner = compose["services"]["queue-owner"]
    assert owner["command"][1] == compose["services"]["collector"]["user"]
    assert owner["command"][2] == compose["services"]["collector"]["environment"]["OTELCOL_STATE"]
    assert owner["volumes"][0] in compose["services"]["collector"]["volumes"]
    assert owner["restart"] == "no"


def test_every_host_and_port_that_a_configuration_names_is_there(compose):
    files = [
        FOLDER / "compose.yaml",
        FOLDER / "prometheus.yml",
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
        timeout=60,
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
    environ = {"PATH": os.environ["PATH"], **defaults, "OTELCOL_STATE": str(tmp_path)}
    run = subprocess.run(
        [otelcol, "validate", *arguments], env=environ, capture_output=True, text=True, timeout=60
    )
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
