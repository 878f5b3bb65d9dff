"""Writes generated files: all of them are replaced, each at once, or none is; nobody else's is touched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MANIFEST: Final = ".slotel-generated.json"
"""In the directory: which files slotel wrote, of which service, and the hash of each."""
_STAGED: Final = ".slotel-new"
_FORMER: Final = ".slotel-old"


def write_generated(
    directory: Path, files: Mapping[str, tuple[str, str]], *, force: bool = False
) -> dict[str, str]:
    """Write the files that are slotel's to write; return those that were kept, with the reason.

    Args:
        files: path relative to the directory → (service, content).
        force: keep none.

    Raises:
        OSError: it could not; the directory is as it was, but for empty folders.
    """
    known = _manifest(directory)
    reasons = {
        path: "" if force else _reason_to_keep(directory / path, service, text, known.get(path))
        for path, (service, text) in files.items()
    }
    kept = {path: reason for path, reason in reasons.items() if reason}
    written = {path: entry for path, entry in files.items() if path not in kept}
    entries = {path: entry for path, entry in known.items() if (directory / path).is_file()}
    entries.update(
        {
            path: {"service": service, "sha256": _hash(text.encode())}
            for path, (service, text) in written.items()
        }
    )
    document = {
        "note": "What slotel generate wrote: commit it beside the files.",
        "files": dict(sorted(entries.items())),
    }
    manifest = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    write_all(directory, {**{path: text for path, (_, text) in written.items()}, MANIFEST: manifest})
    return kept


def _reason_to_keep(path: Path, service: str, text: str, entry: Mapping[str, str] | None) -> str:
    """Return why a file that is there is not replaced; empty if it may be."""
    current = _content(path)
    if current is None or current == text.encode():
        return ""  # if it cannot be read, writing will say what is wrong
    if entry is None:
        return "slotel did not write it"
    if entry.get("sha256") != _hash(current):
        return "it was edited since slotel wrote it"
    if entry.get("service") != service:
        return f"it is of the service '{entry.get('service')}'"
    return ""


def _manifest(directory: Path) -> dict[str, dict[str, str]]:
    try:
        files = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {path: entry for path, entry in files.items() if isinstance(entry, dict)}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_all(directory: Path, files: Mapping[str, str]) -> None:
    """Replace every file, or leave everything as it was.

    Args:
        files: path relative to the directory → content, written as UTF-8.

    Raises:
        OSError: it could not; the directory is as it was, but for empty folders.
    """
    staged: list[Path] = []
    try:
        for name, content in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, f"{name} is a directory")
            staged.append(path)
            _beside(path, _STAGED).write_text(content, encoding="utf-8", newline="\n")
        _swap(staged)
    finally:
        for path in staged:
            for end in (_STAGED, _FORMER):
                _beside(path, end).unlink(missing_ok=True)


def differing(directory: Path, files: Mapping[str, str]) -> list[str]:
    """Return the paths whose file is missing or has other content."""
    return [name for name, content in files.items() if _content(directory / name) != content.encode()]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _swap(paths: list[Path]) -> None:
    done: list[Path] = []
    try:
        for path in paths:
            if path.exists():
                shutil.copy2(path, _beside(path, _FORMER))
            done.append(path)
            _beside(path, _STAGED).replace(path)
    except OSError:
        for path in done:
            with contextlib.suppress(OSError):
                former = _beside(path, _FORMER)
                if former.exists():
                    former.replace(path)
                elif not _beside(path, _STAGED).exists():
                    path.unlink(missing_ok=True)
        raise


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)
