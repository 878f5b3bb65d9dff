"""Each page is followed as a reader follows it: its blocks are typed, in order, in a fresh folder and network; it keeps its word."""

import json
import os
import re
import subprocess
import sys

import pytest

from support.blocks import ROOT, blocks_of
from support.followed import LONG_PAGES, PAGES
from support.real import require_real

APPS = ROOT / ".venv-apps/bin"


def follow(page, tmp_path):
    if not (APPS / "opentelemetry-instrument").exists():
        message = "the frameworks are not installed: make apps"
        pytest.fail(message) if os.environ.get("REQUIRE_REAL") == "1" else pytest.skip(message)
    unshare = require_real("unshare")
    how = PAGES[page]
    for program in how.get("programs", ()):
        require_real(program)
    blocks = [each for each in blocks_of(ROOT / page) if not each.mark and not each.is_shown]
    files = [str(path) for path in sorted((ROOT / page).parent.glob("*.py")) if page.startswith("examples")]
    asked = {
        "folder": str(tmp_path),
        "files": files,
        "blocks": [(each.language, each.text) for each in blocks],
        "app": how.get("app", ""),
        "file": how.get("file", "app.py"),
        "python": how.get("python", ""),
        "then": how.get("then", ()),
    }
    done = subprocess.run(
        [unshare, "--user", "--map-root-user", "--net", sys.executable, str(ROOT / "tests/support/reader.py")],
        input=json.dumps(asked), capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["failed"] is None, answer["failed"] + "\n" + answer["said"]
    return str(answer["said"])


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.long] * (page in LONG_PAGES)) for page in PAGES]
)
def test_who_follows_the_page_gets_what_it_promises(page, tmp_path):
    said = follow(page, tmp_path)
    for line in lines_of_slotel(page):
        pattern = ".*".join(re.escape(piece) for piece in line.split("…"))
        assert re.search(f"^{pattern}$", said, re.MULTILINE), f"{line}\nis not in:\n{said}"
    if page == "docs/how-to/logs.md":
        ids = set(re.findall(r'trace(?:_id": "|=)([0-9a-f]{32})', said))
        assert len(ids - {"0" * 32}) == 3, said


def lines_of_slotel(page):
    """The log lines that a page shows."""
    shown = [line for each in blocks_of(ROOT / page) if each.is_shown for line in each.text.splitlines()]
    return [line for line in shown if re.match(r"(INFO|WARNING|ERROR) slotel: ", line)]
