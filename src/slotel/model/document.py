"""slotel.yaml as it is written, checked place by place: each fault has file, line, path and expectation.

Importing it costs about 50 ms (cattrs, ruamel.yaml); a service without a file never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from slotel.model.problem import Problem
from slotel.model.shape import CONVERTER, Document, kind_of

MAX_CHARACTERS: Final = 1_000_000
_PYTHONS: Final = re.compile(r"'\w+' object (has no attribute|is not|does not)")


def read_document(text: str, source: str) -> tuple[Document, tuple[Problem, ...]]:
    """Return what the text says, and what is wrong with it; a wrong part is left out, the rest stands.

    Args:
        source: the file's name, as problems name it.
    """
    if len(text) > MAX_CHARACTERS:
        return Document(), (Problem(source, f"a configuration has at most {MAX_CHARACTERS:,} characters"),)
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return Document(), (Problem(f"{source}:{line}", f"not valid YAML: {_one_line(error.problem)}"),)
    except YAMLError as error:
        return Document(), (Problem(source, f"not valid YAML: {_one_line(error)}"),)
    if tree is None:
        return Document(), ()
    if not isinstance(tree, Mapping):
        return Document(), (
            Problem(f"{source}:1", "expected a mapping such as 'version: 1', got " + kind_of(tree)),
        )
    return _structure_what_stands(tree, source)


def _structure_what_stands(tree: Any, source: str) -> tuple[Document, tuple[Problem, ...]]:
    """Cut out each wrong place, then its parent if that is still wrong, until the rest can be read."""
    problems = tuple(_repeated(tree, source))
    document, faults = _structure(tree)
    ordered = sorted(faults, key=lambda fault: len(fault[0]), reverse=True)
    problems += tuple(
        Problem(place_of(tree, source, steps), _in_words(tree, steps, text)) for steps, text in ordered
    )
    while faults:  # what is wrong only because something was cut is no news
        cut = [_cut(tree, steps) for steps, _ in sorted(faults, key=_from_the_end, reverse=True)]
        if not all(cut):
            break
        document, faults = _structure(tree)
    return document, tuple(dict.fromkeys(problems))


def _in_words(tree: Any, steps: tuple[Any, ...], text: str) -> str:
    """Return what was expected where Python only says that a value of this kind lacks something."""
    if not _PYTHONS.search(text):
        return text
    node = tree
    for step in steps:
        if isinstance(step, int) and not isinstance(node, list):
            return f"expected a list, got {kind_of(node)}"
        if not _has(node, step):
            break
        node = node[step]
    wanted = "a list" if "iterable" in text else "a mapping such as 'name: value'"
    return f"expected {wanted}, got {kind_of(node)}"


def _repeated(tree: Any, source: str) -> Iterator[Problem]:
    """Yield each objective that has the name of one before it."""
    slos = tree.get("slos")
    seen: set[str] = set()
    for index, slo in enumerate(slos if isinstance(slos, list) else ()):
        name = str(slo.get("name")) if isinstance(slo, Mapping) else None
        if name is None:
            continue
        if name in seen:
            place = place_of(tree, source, ("slos", index, "name"))
            yield Problem(place, f"two objectives are named '{name}': names are unique")
        seen.add(name)


def _structure(tree: Any) -> tuple[Document, list[tuple[tuple[Any, ...], str]]]:
    try:
        return CONVERTER.structure(tree, Document), []
    except Exception as error:  # noqa: BLE001 cattrs raises groups of whatever the hooks raise
        return Document(), list(_faults(error, ()))


def _from_the_end(fault: tuple[tuple[Any, ...], str]) -> list[tuple[bool, Any]]:
    """Order so that a later item of a list is cut before an earlier one."""
    return [(isinstance(step, int), step) for step in fault[0]]


def _faults(error: BaseException, steps: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield the path and the expectation of each single fault in cattrs' tree of exceptions."""
    if isinstance(error, ForbiddenExtraKeysError):
        known = ", ".join(sorted(getattr(error.cl, "__dataclass_fields__", {})))
        for key in sorted(error.extra_fields):
            yield (*steps, key), f"unknown key, known are: {known}"
    elif isinstance(error, ClassValidationError):
        placed, unplaced = error.group_exceptions()
        for inner, attribute in placed:
            yield from _faults(inner, (*steps, attribute.name))
        for whole in unplaced:
            yield from _faults(whole, steps)
    elif isinstance(error, IterableValidationError):
        for inner, item in error.group_exceptions()[0]:
            yield from _faults(inner, (*steps, item.index))
    else:
        yield steps, _expectation(error)


def place_of(tree: Any, source: str, steps: tuple[Any, ...]) -> str:
    """Return `slotel.yaml:12 slos[0].objective` for the steps into a tree that ruamel.yaml read."""
    line, node, path = 0, tree, ""
    for step in steps:
        if not _has(node, step):
            break
        position = getattr(node, "lc", None)
        if position is not None and position.data and step in position.data:
            line = position.data[step][0]
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
        node = node[step]
    return f"{source}:{line + 1} {path}".rstrip()


def _cut(tree: Any, steps: tuple[Any, ...]) -> bool:
    """Remove the place from the tree: the deepest step that is there. False if nothing was removed."""
    node, parent, last = tree, None, None
    for step in steps:
        if not _has(node, step):
            break
        node, parent, last = node[step], node, step
    if parent is None:
        return False
    del parent[last]
    return True


def _has(node: Any, step: Any) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and 0 <= step < len(node)
    return isinstance(node, Mapping) and step in node


def _expectation(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!s} is missing"
    return _one_line(error.args[0] if error.args else type(error).__name__)


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
