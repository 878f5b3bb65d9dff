"""`make dist`: builds wheel and source distribution twice, compares the bytes, checks what is in them and in the metadata."""

from __future__ import annotations

import argparse
import filecmp
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = {
    "slotel/py.typed",
    "slotel/constraints.txt",
    "slotel/testing.py",
    "slotel/__main__.py",
    "slotel/runtime/bootstrap.py",
}
PATH = {"slotel_launch.pth"}
SDIST = {
    "src/slotel_launch.pth",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "PKG-INFO",
    ".gitignore",
}
URLS = {"Documentation", "Source", "Changelog", "Issues"}
MOST_KIB = 1024


def build(folder: Path) -> list[Path]:
    """Build both into a folder."""
    uv = (
        shutil.which(
            "uv", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:{Path.home()}/.local/bin"
        )
        or "uv"
    )
    subprocess.run([uv, "build", "--quiet", "--out-dir", str(folder), str(ROOT)], check=True)
    return sorted(path for path in folder.iterdir() if path.suffix in (".whl", ".gz"))


def faults_of_wheel(path: Path) -> list[str]:
    """Return what is wrong with the wheel's contents and metadata."""
    faults = []
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        headers = Parser().parsestr(wheel.read(metadata).decode())
    faults += [f"missing: {name}" for name in sorted((NEEDED | PATH) - names)]
    strangers = {name for name in names if not name.startswith(("slotel/", "slotel-"))} - PATH
    faults += [f"does not belong there: {name}" for name in sorted(strangers)]
    faults += [f"compiled: {name}" for name in sorted(names) if name.endswith((".so", ".pyd", ".pyc"))]
    urls = {line.partition(",")[0] for line in headers.get_all("Project-URL") or ()}
    faults += [f"no project URL {name}" for name in sorted(URLS - urls)]
    text = str(headers.get_payload())
    relative = [
        each
        for each in re.findall(r"\]\(([^)\s]+)\)", text)
        if not each.startswith(("https://", "http://", "#"))
    ]
    faults += [f"a link that does not work on a package index: {link}" for link in relative]
    if path.stat().st_size > MOST_KIB * 1024:
        faults.append(f"larger than {MOST_KIB} KiB")
    return faults


def faults_of_sdist(path: Path) -> list[str]:
    """Return what does not belong into the source distribution."""
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    strangers = {name for name in names if not name.startswith("src/slotel/")} - SDIST
    return [f"does not belong there: {name}" for name in sorted(strangers)]


def main() -> int:
    """Build, compare, check; leave the files in the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        built, again = build(Path(first)), build(Path(second))
        faults = [
            f"{path.name}: two builds differ"
            for path, other in zip(built, again, strict=True)
            if not filecmp.cmp(path, other, shallow=False)
        ]
        for path in built:
            found = faults_of_wheel(path) if path.suffix == ".whl" else faults_of_sdist(path)
            faults += [f"{path.name}: {fault}" for fault in found]
        if not faults:
            out.mkdir(parents=True, exist_ok=True)
            for path in built:
                print(shutil.copy(path, out))
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
