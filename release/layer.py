"""`make layer`: the tree that is injected into a foreign Python, as the operator's image has it, and zipped as a Lambda layer.

One recipe for both: `pip install --target` of slotel with the instrumentations in requirements.txt. The zip has the same
bytes for the same files. A function uses it with `AWS_LAMBDA_EXEC_WRAPPER=/opt/slotel-instrument`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "deploy/kubernetes/autoinstrumentation/requirements.txt"
WRAPPER = """\
#!/bin/sh
# Starts a function's interpreter with slotel: AWS_LAMBDA_EXEC_WRAPPER=/opt/slotel-instrument
layer=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$layer/python/opentelemetry/instrumentation/auto_instrumentation:$layer/python${PYTHONPATH:+:$PYTHONPATH}"
export OTEL_PYTHON_DISTRO=slotel OTEL_PYTHON_CONFIGURATOR=slotel
export OTEL_SERVICE_NAME="${OTEL_SERVICE_NAME:-${AWS_LAMBDA_FUNCTION_NAME:-}}"
# a function that is frozen between two calls cannot be scraped: metrics are pushed, if an endpoint is named
export OTEL_METRICS_EXPORTER="${OTEL_METRICS_EXPORTER:-${OTEL_EXPORTER_OTLP_ENDPOINT:+otlp}}"
export OTEL_METRICS_EXPORTER="${OTEL_METRICS_EXPORTER:-none}"
exec "$@"
"""
LONG_AGO = (2020, 2, 2, 0, 0, 0)


def build_tree(target: Path, python: str = sys.executable) -> None:
    """Install slotel and the instrumentations into a folder, without what only an installer needs."""
    uv = shutil.which("uv") or str(Path(python).with_name("uv"))
    command = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--target",
        str(target),
        "-r",
        str(REQUIREMENTS),
    ]
    subprocess.run([*command, f"{ROOT}[otlp]"], check=True)
    for cache in target.rglob("__pycache__"):
        shutil.rmtree(cache)
    shutil.rmtree(target / "bin", ignore_errors=True)


def pack(tree: Path, archive: Path) -> None:
    """Write the layer: the tree below python/, and the wrapper."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as layer:
        _add(layer, "slotel-instrument", WRAPPER.encode(), 0o755)
        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            _add(layer, f"python/{path.relative_to(tree).as_posix()}", path.read_bytes(), 0o644)


def _add(layer: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o100000 | mode) << 16
    layer.writestr(entry, content)


def main() -> int:
    """Build the tree and the layer into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / ".cache/layer")
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    build_tree(out / "tree")
    pack(out / "tree", out / "slotel-layer.zip")
    print(out / "slotel-layer.zip")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
