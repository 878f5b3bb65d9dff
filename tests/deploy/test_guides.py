"""docs/collector.md and deploy/README.md, followed literally: each command of theirs, each variable, each port.

Images and clusters are not here: `docker` only looks whether what it would build from is there, `kubectl apply` whether what
it gets are objects, and `helm install` renders. Everything else is run as it stands.
"""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support.gotool import go_tool
from support.launch import free_port, wait_until
from support.otelcol import CONFIGS, ROOT, listening_on
from support.real import require_real
from support.rendered import HELM

COLLECTOR = (ROOT / "docs/collector.md").read_text()
DEPLOYMENTS = (ROOT / "deploy/README.md").read_text()
MAIN = ("otel-collector.yaml", "agent.yaml", "gateway.yaml")
SERVICES = {
    "checkout.yaml": "version: 1\nservice: checkout\ntags: {redact: [iban]}\n",
    "cart.yaml": "version: 1\nservice: cart\n",
}
DOCKER = r"""#!/bin/sh
case "$1 $2" in "compose -f"|"compose up"|"compose config") exit 0 ;; esac
[ "$1" = build ] || { echo "docker $*: not in this test" >&2; exit 1; }
while [ $# -gt 1 ]; do [ "$1" = -f ] && dockerfile=$2; shift; done
sed -n 's/^COPY \([^-].*\) [^ ]*$/\1/p' "$dockerfile" | tr ' ' '\n' | while read -r file; do [ -e "$1/$file" ] || exit 1; done
"""
KUBECTL = r"""#!/bin/sh
case "$*" in
  *"create secret"*) exec REAL "$@" --dry-run=client -o yaml > SECRET ;;
  kustomize*) exec REAL "$@" ;;
  "apply -f "*) [ -s "$3" ] ;;
  "apply --server-side -f -") grep -c '^kind: ' | grep -qx '[1-9][0-9]*' ;;
  *) echo "kubectl $*: not in this test" >&2; exit 1 ;;
esac
"""


def blocks(text):
    """The blocks of commands, with their comments gone."""
    return [
        re.sub(r"\s+#.*$", "", block, flags=re.MULTILINE)
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    ]


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the commands read and write, with this machine's programs first on the PATH."""
    for folder in ("collector", "deploy", "src", "prometheus"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True)
    for file in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / ".cache").symlink_to((ROOT / ".cache").resolve())
    programs = tmp_path / "programs"
    programs.mkdir()
    real = {
        "REAL": require_real("kubectl"),
        "SECRET": str(tmp_path / "secret.yaml"),
    }
    kubectl = re.sub("|".join(real), lambda found: real[found[0]], KUBECTL)
    for name, text in (("docker", DOCKER), ("kubectl", kubectl)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "helm").write_text(
        f'#!/bin/sh\n[ "$1" = install ] && shift\nexec {go_tool(HELM)} template --kube-version=1.34.0 "$@"\n'
    )
    (programs / "helm").chmod(0o755)
    return tmp_path


def run(folder, script, **environ):
    path = f"{folder / 'programs'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    home = {"HOME": os.environ["HOME"], **environ}
    return subprocess.run(
        ["sh", "-euc", script],
        cwd=folder,
        env={"PATH": path, **home},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_first_steps_of_the_collector(otelcol, checkout):
    [steps] = [block for block in blocks(COLLECTOR) if "make collector" in block]
    steps = steps.replace("https://HOST/api/PROJECT", "http://127.0.0.1:1/api/7").replace("=KEY", "=public")
    home = checkout / "home"
    home.mkdir()
    names = ("OTLP_GRPC_PORT", "OTLP_HTTP_PORT", "PROMETHEUS_PORT", "TELEMETRY_PORT", "HEALTH_PORT")
    ports = {name: str(free_port()) for name in names}  # in place of the defaults, which this machine may use
    (checkout / "programs/make").write_text(f"#!/bin/sh\necho {otelcol}\n")  # it is built already
    (checkout / "programs/make").chmod(0o755)
    process = subprocess.Popen(
        ["sh", "-euc", steps],
        cwd=checkout,
        env={"PATH": f"{checkout / 'programs'}:{os.environ['PATH']}", "HOME": str(home), **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: listening_on(int(ports["HEALTH_PORT"])), "the collector is healthy", 180)
        assert list((home / ".local/state/otel-collector").iterdir())
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert "rror" not in said.replace("error_mode", ""), said


def test_the_commands_of_compose(checkout):
    [commands] = [block for block in blocks(DEPLOYMENTS) if "up.sh" in block]
    done = run(checkout, commands)
    assert done.returncode == 0, done.stderr
    assert (checkout / "deploy/compose/.env").exists()


def test_the_commands_of_kubernetes(checkout):
    for name, text in SERVICES.items():
        (checkout / name).write_text(text)
    commands = "\n".join(block for block in blocks(DEPLOYMENTS) if "kubectl" in block)
    done = run(checkout, commands)
    assert done.returncode == 0, done.stderr
    assert "iban" in (checkout / "collector/policy.yaml").read_text()
    rendered = [item for item in YAML(typ="safe").load_all(done.stdout[done.stdout.index("---\n") :]) if item]
    maps = {item["metadata"]["name"]: item["data"] for item in rendered if item["kind"] == "ConfigMap"}
    assert "iban" in maps["otel-agent-policy"]["policy.yaml"]
    secret = YAML(typ="safe").load((checkout / "secret.yaml").read_text())
    gateway = (ROOT / "deploy/kubernetes/gateway.yaml").read_text()
    asked = set(re.findall(r"secretKeyRef: \{name: ([\w-]+), key: ([\w-]+)\}", gateway))
    assert asked == {(secret["metadata"]["name"], key) for key in secret["data"]}


def test_the_table_of_variables_is_that_of_the_configurations():
    table = COLLECTOR[COLLECTOR.index("| variable | default |") :].partition("\n\n")[0]
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", table))
    read = {
        name
        for path in CONFIGS.glob("*.yaml")
        for name in re.findall(r"\$\{env:([A-Z0-9_]+)", path.read_text())
        if path.name != "builder.yaml"
    }
    assert documented == read - {"HOME"}


@pytest.mark.parametrize("config", MAIN)
def test_the_defaults_of_the_variables_are_those_of_the_configurations(config):
    rows = [line for line in COLLECTOR.splitlines() if line.startswith("| `") and line.count("|") == 4]
    for name, default in re.findall(r"\$\{env:(\w+):-(\d[^{}]*)\}", (CONFIGS / config).read_text()):
        [row] = [row for row in rows if f"`{name}`" in row.split("|")[1]]
        assert default in row.replace(",", "") or default in row, (name, default, row)


def test_every_port_of_the_table_is_published_by_compose_and_the_other_way_round():
    text = DEPLOYMENTS[
        DEPLOYMENTS.index("| port, on 127.0.0.1") : DEPLOYMENTS.index("Nothing listens beyond")
    ]
    shown = {
        int(port)
        for row in text.splitlines()
        for port in re.findall(r"\b(\d{4,5})\b", row.split("|")[1] if "|" in row else "")
    }
    compose = YAML(typ="safe").load((ROOT / "deploy/compose/compose.yaml").read_text())
    published = {
        int(port.split(":")[1]) for item in compose["services"].values() for port in item.get("ports", [])
    }
    assert shown == published


def test_every_file_of_the_folder_is_in_the_table():
    table = COLLECTOR[: COLLECTOR.index("## First steps")]
    missing = [path.name for path in CONFIGS.iterdir() if path.is_file() and f"`{path.name}`" not in table]
    assert set(missing) <= {"refresh.py", "next.sh"}


def test_every_link_of_both_guides_leads_somewhere():
    for text, folder in ((COLLECTOR, ROOT / "docs"), (DEPLOYMENTS, ROOT / "deploy")):
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert Path(folder, target).exists(), target
