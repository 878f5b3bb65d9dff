"""What the README shows is true: its files read, its code runs, its links lead somewhere, its commands exist."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from slotel.config.service import read_service
from support.launch import clean_environ

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_its_slotel_yaml_is_valid():
    (text,) = blocks("yaml")
    reading = read_service({}, text)
    assert reading.problems == ()
    assert [slo.name for slo in reading.service.slos] == ["availability", "latency"]


def test_its_code_runs():
    (code,) = blocks("python")
    before = "def app(environ, start_response): return []\n"
    after = "assert price(3) is None\nhandler(None)\n"
    done = subprocess.run(
        [sys.executable, "-c", before + code + after],
        env=clean_environ(OTEL_METRICS_EXPORTER="none"), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_its_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", README)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_index_of_decisions_is_complete():
    """Mend it with: python docs/decisions/index.py."""
    folder = ROOT / "docs" / "decisions"
    assert (folder / "README.md").read_text() == runpy.run_path(str(folder / "index.py"))["index"]()
