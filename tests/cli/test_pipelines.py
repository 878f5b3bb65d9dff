"""The pre-commit hooks and the workflow step that are shipped, run as pre-commit and a runner would run them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support import services

BIN = Path(sys.executable).parent
HOOKS = {
    hook["id"]: hook
    for hook in YAML(typ="safe", pure=True).load((services.ROOT / ".pre-commit-hooks.yaml").read_text())
}
ACTION = YAML(typ="safe", pure=True).load(
    (services.ROOT / ".github/actions/generate-check/action.yml").read_text()
)
OWN = "service: shop\nslos:\n  - {name: availability, objective: 99.9%}\n"


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "slotel.yaml").write_text(OWN)
    done = run("slotel generate --config slotel.yaml --out deploy", tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def run(command, directory, **variables):
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "SLOTEL_", "SENTRY_", "ERROR_"))
    }
    path = f"{BIN}{os.pathsep}{kept['PATH']}"
    return subprocess.run(
        shlex.split(command) if isinstance(command, str) else command,
        cwd=directory, env={**kept, "PATH": path, **variables}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_hooks_pass_on_what_was_generated_and_fail_on_what_was_not(repository):
    check = f"{HOOKS['slotel-generate-check']['entry']} --config slotel.yaml --out deploy"
    assert run(HOOKS["slotel-validate"]["entry"], repository).returncode == 0
    assert run(check, repository).returncode == 0
    (repository / "slotel.yaml").write_text(OWN.replace("99.9%", "95%"))
    done = run(check, repository)
    assert done.returncode == 1
    assert "deploy/prometheus/rules.yaml: is not what slotel generate writes now" in done.stderr
    (repository / "slotel.yaml").write_text(OWN.replace("99.9%", "100%"))
    assert run(HOOKS["slotel-validate"]["entry"], repository).returncode == 1


def test_the_hooks_install_what_the_command_line_needs():
    text = (services.ROOT / "pyproject.toml").read_text()
    for hook in HOOKS.values():
        for requirement in hook["additional_dependencies"]:
            name = requirement.partition(">")[0].partition("=")[0]
            assert f'"{name} ' in text, name


@pytest.mark.parametrize("objective", ["99.9%", "95%"])
def test_the_workflow_step_passes_on_what_was_generated_and_fails_on_what_was_not(
    repository, objective, tmp_path
):
    """With the installed slotel in place of the one that pip would fetch."""
    (repository / "slotel.yaml").write_text(OWN.replace("99.9%", objective))
    (step,) = ACTION["runs"]["steps"]
    assert set(step["env"]) == {"SLOTEL_VERSION", "SLOTEL_CONFIG_PATH", "SLOTEL_OUT", "SLOTEL_PROMTOOL"}
    script = "\n".join(
        line for line in step["run"].splitlines() if "venv" not in line and "pip install" not in line
    )
    (tmp_path / "runner/slotel").mkdir(parents=True)
    (tmp_path / "runner/slotel/bin").symlink_to(BIN)
    done = run(
        ["bash", "-c", script], repository, RUNNER_TEMP=str(tmp_path / "runner"), SLOTEL_CONFIG_PATH="slotel.yaml",
        SLOTEL_OUT="deploy", SLOTEL_PROMTOOL="true",
    )  # fmt: skip
    assert (done.returncode == 0) == (objective == "99.9%"), done.stdout + done.stderr
