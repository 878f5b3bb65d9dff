"""What is published: the same bytes from two builds, the right contents, and a tree that other interpreters load."""

import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from slotel.version import __version__
from support.launch import clean_environ

ROOT = Path(__file__).parents[2]
PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.1[0-3].*/bin/python")) or [Path(sys.executable)]
HANDLER = """
import sys, slotel
from opentelemetry import trace
from slotel.runtime.state import current
assert current() is not None, "slotel was not started"
with trace.get_tracer("x").start_as_current_span("call", kind=trace.SpanKind.SERVER) as span:
    assert span.is_recording()
assert slotel.flush(1.0)
print(slotel.__version__, sys.version_info[:2])
"""


def test_two_builds_are_equal_and_their_contents_are_right(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "release/dist.py"), "--out", str(tmp_path)],
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        f"slotel-{__version__}-py3-none-any.whl",
        f"slotel-{__version__}.tar.gz",
    }


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    """The layer as a platform unpacks it, and its archive."""
    folder = tmp_path_factory.mktemp("layer")
    command = [sys.executable, str(ROOT / "release/layer.py"), "--out", str(folder / "built")]
    subprocess.run(command, env=clean_environ(), check=True, timeout=300, stdout=subprocess.DEVNULL)
    archive = folder / "built/slotel-layer.zip"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder / "opt")
        for entry in packed.infolist():
            (folder / "opt" / entry.filename).chmod(entry.external_attr >> 16 & 0o777)
    return folder / "opt", archive, folder / "built/tree"


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parts[-3])
def test_the_layers_wrapper_starts_slotel_in_each_interpreter(layer, python, tmp_path):
    (tmp_path / "handler.py").write_text(HANDLER)
    opt, _, _ = layer
    done = subprocess.run(
        [str(opt / "slotel-instrument"), str(python), "-B", "handler.py"],
        cwd=tmp_path, env=clean_environ(AWS_LAMBDA_FUNCTION_NAME="resize"), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(__version__)
    assert "service=resize" in done.stderr


def test_the_layer_is_small_and_packs_the_same_bytes_again(layer, tmp_path):
    sys.path.insert(0, str(ROOT / "release"))
    try:
        from layer import pack
    finally:
        sys.path.pop(0)
    opt, archive, tree = layer
    assert stat.S_IMODE((opt / "slotel-instrument").stat().st_mode) == 0o755
    pack(tree, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    assert archive.stat().st_size < 50 * 2**20, "what a function takes as an upload"


def test_the_operators_image_and_the_layer_have_the_tested_instrumentations():
    tested = (ROOT / "src/slotel/constraints.txt").read_text()
    for line in (ROOT / "deploy/kubernetes/autoinstrumentation/requirements.txt").read_text().splitlines():
        if "==" in line:
            assert re.search(
                rf"^{re.escape(line.split('  ')[0].strip())}(\s|$)", tested, flags=re.MULTILINE
            ), line
