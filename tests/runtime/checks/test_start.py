"""What a start says, and who of a service's processes says it."""

import subprocess
import sys
from pathlib import Path

import pytest

from slotel.runtime.checks.start import not_yet_logged
from slotel.runtime.finding import Finding
from support.launch import clean_environ

NAMELESS = Finding("service", "warn", "the service has no name", "set OTEL_SERVICE_NAME=checkout", "SLO105")
OTHER = Finding("metrics", "info", "bound to localhost", "", "SLO154")


def test_a_spawned_worker_does_not_repeat_what_the_process_above_it_said():
    environ: dict[str, str] = {}
    assert list(not_yet_logged([NAMELESS, OTHER, NAMELESS], environ)) == [NAMELESS, OTHER]
    inherited = dict(environ)
    assert list(not_yet_logged([NAMELESS, OTHER], inherited)) == []
    assert list(not_yet_logged([NAMELESS._replace(text="another")], inherited)) == [
        NAMELESS._replace(text="another")
    ]


def test_another_service_says_its_own(tmp_path, monkeypatch):
    environ: dict[str, str] = {}
    list(not_yet_logged([NAMELESS], environ))
    monkeypatch.chdir(tmp_path)
    assert list(not_yet_logged([NAMELESS], environ)) == [NAMELESS]


def test_a_program_that_is_started_in_another_folder_does_not_repeat_what_its_environment_decides(
    tmp_path, monkeypatch
):
    """A notebook's kernels run beside their notebooks: each wrote the line of SLO154."""
    environ: dict[str, str] = {}
    list(not_yet_logged([OTHER], environ))
    monkeypatch.chdir(tmp_path)
    assert list(not_yet_logged([OTHER], environ)) == []


@pytest.mark.process
def test_processes_of_a_pool_do_not_repeat_that_there_is_no_dsn(tmp_path):
    (tmp_path / "pool.py").write_text(
        "import multiprocessing\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn')) as pool:\n"
        "        print(sum(pool.map(abs, range(4))))\n"
    )
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    done = subprocess.run(
        [str(launcher), sys.executable, "pool.py"], env=clean_environ(OTEL_SERVICE_NAME="pool"), cwd=tmp_path,
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["6"]
    assert done.stderr.count("[SLO140]") == 1
