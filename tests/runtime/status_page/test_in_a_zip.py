"""slotel out of a zip, as zipapp, shiv and pex bundle an app: the files beside its modules are read, too."""

import re
import sys
import urllib.request
import zipfile
from pathlib import Path

import slotel
from slotel.packaged import packaged_text
from support.launch import Launched, wait_until

SERVES = "import slotel, time; print(slotel.__file__, flush=True); time.sleep(600)"


def zipped(folder):
    """Return a zip of the package."""
    package = Path(slotel.__file__).parent
    with zipfile.ZipFile(folder / "slotel.zip", "w") as archive:
        for file in sorted(package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(package.parent))
    return archive.filename


def page_of(service):
    """Return the style, the script and what is said of instrumentations; None while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/", timeout=60) as answer:
            page = answer.read().decode()
    except OSError:
        return None
    return re.findall(r"<style>.*?</style>|<script>.*?</script>|no instrumentation[^<]*", page, re.DOTALL)


def test_the_status_page_of_an_app_in_a_zip_is_that_of_an_installed_one(tmp_path):
    pages = {}
    for path in ("", zipped(tmp_path)):
        with Launched(sys.executable, "-c", SERVES, env={"PYTHONPATH": path}) as service:
            pages[path] = wait_until(lambda: page_of(service), f"it answers; it said:\n{service.log}")
            assert path in service.log
    assert len(set(map(tuple, pages.values()))) == 1


def test_a_file_that_a_tool_has_left_out_of_a_bundle_is_empty():
    assert packaged_text("slotel", "constraints.txt")
    assert packaged_text("slotel", "left-out.txt") == ""
