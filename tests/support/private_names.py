"""Finds private names of other projects outside their room: `python tests/support/private_names.py`.

A name counts as another project's when it starts with one underscore and nothing in slotel defines it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "slotel"
ROOMS = ("runtime/upstream/", "compile/upstream.py")

PUBLIC = frozenset({"_replace", "_asdict", "_fields", "_field_defaults", "_value_", "_getframe", "_thread"})
"""Documented names of NamedTuple, Enum and sys, and a documented module."""


def private(name: str) -> bool:
    return (
        name.startswith("_") and not name.startswith(("__", "_slotel")) and name != "_" and name not in PUBLIC
    )


def own_names(trees: dict[str, ast.Module]) -> set[str]:
    """Names that slotel defines."""
    own: set[str] = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.arg):
                own.add(node.arg)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                    own.add(node.attr)
            elif isinstance(node, ast.Assign) and any(
                getattr(to, "id", "") == "__slots__" for to in node.targets
            ):
                own |= {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)}
    return own


def foreign_names(tree: ast.Module, own: set[str]) -> Iterator[str]:
    """Private names of other projects in one module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("slotel"):
            yield from (f"{node.module}.{each.name}" for each in node.names if private(each.name))
            if any(private(part) for part in node.module.split(".")):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if any(map(private, each.name.split("."))))
        elif isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in own:
            yield node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
            if isinstance(name, str) and private(name) and name not in own:
                yield name


def elsewhere() -> set[tuple[str, str]]:
    """Module and name of each private name of another project that stands outside the room."""
    trees = {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in SOURCE.rglob("*.py")
    }
    own = own_names(trees)
    return {
        (module, name)
        for module, tree in trees.items()
        if not module.startswith(ROOMS)
        for name in foreign_names(tree, own)
    }


def findings() -> list[str]:
    """What is wrong, one line each."""
    return [
        f"{module}: {name} is another project's: it belongs into {' or '.join(ROOMS)}"
        for module, name in sorted(elsewhere())
    ]


if __name__ == "__main__":
    lines = findings()
    print("\n".join(lines) or "private names of other projects stand in their room alone")
    sys.exit(bool(lines))
