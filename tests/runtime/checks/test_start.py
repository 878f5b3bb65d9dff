"""What a start says, and who of a service's processes says it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from slotel.runtime.checks.environment import packed_program
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


def packed(path, *names, head=b"#!/usr/bin/env python3\n"):
    path.write_bytes(head)
    with zipfile.ZipFile(path, "a") as file:
        for name in names:
            file.writestr(name, "x" * 1000)
    return str(path)


def test_a_pex_that_leaves_slotel_behind_is_told_of_and_no_other_program_is(tmp_path):
    """`python -m zipapp` and shiv make files that keep `PYTHONPATH`."""
    pex = packed(tmp_path / "app", "__main__.py", "PEX-INFO", *(f"lib/{number}.py" for number in range(2000)))
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "PEX-INFO").write_text("{}")
    (script := tmp_path / "app.py").write_text("PEX-INFO")
    others = (
        packed(tmp_path / "app.pyz", "__main__.py"),
        str(script),
        str(tmp_path),
        str(tmp_path / "none"),
        "-c",
    )
    for program in (pex, str(loose)):
        (told,) = packed_program({}, ["python", "-u", program, "--port", "1"])
        assert told.code == "SLO139"
        assert program in told.text
        assert not list(packed_program({"PEX": program}, ["python", program]))  # slotel runs within
    for program in others:
        assert not list(packed_program({}, ["python", program, pex]))


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
