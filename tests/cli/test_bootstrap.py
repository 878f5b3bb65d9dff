"""`slotel bootstrap` installs the instrumentations that slotel was tested with, and says so when it could not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from slotel.cli import bootstrap
from slotel.cli.bootstrap import Environment, plan
from support.launch import Launched, clean_environ
from support.matrix import OLDEST_LIBRARIES, uv

UV = uv()
ROOT = Path(__file__).parents[2]
NOWHERE = {
    "UV_DEFAULT_INDEX": "http://127.0.0.1:9/", "UV_INDEX": "", "UV_NO_CACHE": "1", "UV_HTTP_RETRIES": "0", "PIP_NO_INDEX": "1",
}  # fmt: skip
"""An index that does not answer."""


def run(*arguments, python=sys.executable, **variables):
    return subprocess.run(
        [sys.executable, "-m", "slotel", "bootstrap", "--python", str(python), *arguments],
        env=clean_environ(**variables), capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def environment(**packages):
    return Environment("python", "3.11.7", {"slotel": "0.2.0", **packages})


def test_the_constraints_are_those_of_the_locked_environment():
    written = subprocess.run(
        [sys.executable, str(ROOT / "release/constraints.py")], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "src/slotel/constraints.txt").read_text() == written, "run: make constraints"


def test_each_installed_library_gets_its_instrumentation_and_no_other():
    planned = plan(environment(flask="3.1.3", redis="5.0"))
    names = {each.short for each in planned.wanted}
    assert {"flask", "redis", "wsgi", "sqlite3"} <= names
    assert not names & {"django", "fastapi", "click", "asyncio"}
    assert planned.reasons["flask"] == "flask 3.1.3"


def test_a_library_that_half_of_all_services_have_brings_no_instrumentation_of_another():
    assert "tortoiseorm" not in {each.short for each in plan(environment(pydantic="2.0")).wanted}


def test_what_is_left_out_is_named_with_its_reason_and_comes_with_all():
    packages = environment(click="8.1", psutil="6.0")
    assert {"click", "system-metrics", "asyncio"} <= plan(packages).left_out.keys()
    assert "click" in {each.short for each in plan(packages, everything=True).wanted}


def test_an_untested_version_of_the_sdk_is_brought_to_the_tested_one():
    planned = plan(environment(**{"opentelemetry-sdk": "1.99.0"}))
    assert "opentelemetry-sdk" in {each.package for each in planned.missing}


@pytest.mark.parametrize("lock", ["uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"])
def test_a_lock_file_without_the_instrumentations_is_named_with_the_command_that_adds_them(tmp_path, lock):
    wanted = plan(environment(flask="3.1.3")).wanted
    assert bootstrap.unlocked(tmp_path, wanted) is None
    (tmp_path / lock).write_text('name = "flask"')
    hint = bootstrap.unlocked(tmp_path, wanted)
    assert hint.startswith(f"{lock} does not list them")
    assert "slotel bootstrap --requirements" in hint
    (tmp_path / lock).write_text("\n".join(f'name = "{each.package}"' for each in wanted))
    assert bootstrap.unlocked(tmp_path, wanted) is None


def test_requirements_are_pinned_lines():
    lines = run("--requirements").stdout.splitlines()
    assert "opentelemetry-instrumentation-flask==0.66b1" in lines
    assert all("==" in line for line in lines)


def test_an_interpreter_that_is_none_is_an_error(tmp_path):
    done = run(python=tmp_path / "python")
    assert done.returncode == 1
    assert "cannot be run" in done.stderr


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A virtual environment with slotel and Flask, as a newcomer has it after the first command."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin/python"
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--python", str(python), str(ROOT), "flask", "waitress"],
        check=True, timeout=300,
    )  # fmt: skip
    return python


def test_without_an_index_it_fails_loudly(fresh):
    done = run(python=fresh, **NOWHERE)
    assert done.returncode == 1
    assert "slotel bootstrap: error: nothing is complete" in done.stderr


def counts_requests(python, folder):
    """Start Flask's first example, and return whether each request is counted."""
    (folder / "app.py").write_text(
        "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef home():\n    return 'hello'\n"
    )
    launcher = str(python.with_name("opentelemetry-instrument"))
    command = [launcher, str(python.with_name("waitress-serve")), "--listen=127.0.0.1:{port}", "app:app"]
    with Launched(*command, launcher=False, cwd=folder) as service:
        service.wait_ready("/")
        service.get("/")
        return service.sample("slo_events_total", slo_outcome="good") == service.requests


def test_two_commands_are_enough_for_a_counted_request(fresh, tmp_path):
    done = run(python=fresh)
    assert done.returncode == 0, done.stderr
    assert "instrumentations are installed and load" in done.stdout
    assert run("--dry-run", python=fresh).stdout.endswith("nothing to install\n")
    assert counts_requests(fresh, tmp_path)


def test_an_application_that_pins_the_oldest_libraries_that_slotel_allows_is_counted(fresh, tmp_path):
    """OctoPrint asks for wrapt below 1.18: slotel did not start there. `make matrix` runs the suites with them."""
    bounds = re.findall(r'"([\w.-]+) >= ([\d.]+)', (ROOT / "pyproject.toml").read_text())
    assert {tuple(each.split("==")) for each in OLDEST_LIBRARIES} <= set(bounds)
    subprocess.run(
        [UV, "pip", "install", "-q", "--python", str(fresh), *OLDEST_LIBRARIES], check=True, timeout=300
    )
    assert counts_requests(fresh, tmp_path)


def test_the_tools_are_not_in_the_apps_environment_and_the_command_says_where_they_belong(fresh):
    slotel = str(fresh.with_name("slotel"))
    done = subprocess.run(
        [slotel, "explain"], env=clean_environ(OTEL_SERVICE_NAME="shop"), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "uvx --from 'slotel[tools]'" in done.stderr
    assert subprocess.run([slotel, "doctor", "-h"], env=clean_environ(), capture_output=True).returncode == 0


def test_a_lean_command_has_completions_of_its_own():
    assert "--dry-run" in bootstrap.parser().format_help()
