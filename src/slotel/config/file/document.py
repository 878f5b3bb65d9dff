"""Reads and checks the text of slotel.yaml: each problem has file, line, path and what was expected.

Importing it costs about 11 ms, 9 of them ruamel.yaml's; a service without a file never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import RoundTripScanner, ScannerError

from slotel.config.file.decode import Steps, decode, kind_of
from slotel.config.file.schema import NO_VARIABLES, PARSERS, Document
from slotel.config.problem import Problem
from slotel.config.tags import label_name

MAX_CHARACTERS: Final = 1_000_000
MAX_DEPTH: Final = 100
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
"""JSON writes a character beyond the first plane as two of them, which ruamel.yaml leaves apart."""

_HINTS: Final = (
    ("'\\t'", "indent by spaces"),
    ("cannot start any token", "put the value in quotes"),
    ("expected alphabetic or numeric", "put a value that begins with '*' or '&' in quotes"),
    ("undefined alias", "put a value that begins with '*' in quotes"),
    ("mapping values are not", "indent the line as those beside it, or put a value that has ': ' in quotes"),
    ("expected <block end>", "indent the line as those beside it"),
    ("expected ':'", "write 'key: value', with a space after the colon"),
    ("unexpected end of stream", "a quote that begins here is not closed"),
    ("expected ',' or", "a bracket before it is not closed"),
    ("duplicate key", "remove one of the two"),
)
"""Part of what ruamel.yaml says → what to do."""
_BEGAN: Final = ("expected ':'", "unexpected end of stream")
"""Said of the line after the one that is wrong, or of the last: the wrong one is the context's."""


class _Constructor(RoundTripConstructor):
    """Makes numbers that know how they are written: `1.10` as a version, `007` as a name."""

    def construct_written(self, node: Any) -> Any:
        """Return the number of a scalar, with its text."""
        kind = self.construct_yaml_int if node.tag.endswith(":int") else self.construct_yaml_float
        number = kind(node)
        if hasattr(number, "__dict__"):  # not a plain one, as 7, which has one spelling
            number.written = node.value
        return number


for _kind in ("int", "float"):
    _Constructor.add_constructor(f"tag:yaml.org,2002:{_kind}", _Constructor.construct_written)


class _Scanner(RoundTripScanner):
    """Refuses brackets that are too deep as it comes to them: each may begin a key of up to 1,024 characters."""

    def fetch_flow_collection_start(self, *arguments: Any, **more: Any) -> None:
        if len(self.flow_context) >= MAX_DEPTH:
            mark = self.reader.get_mark()
            raise ScannerError(
                None, None, f"maximum depth of data structure exceeded ({MAX_DEPTH + 1})", mark
            )
        super().fetch_flow_collection_start(*arguments, **more)


def read_document(text: str, source: str) -> tuple[Document, tuple[Problem, ...]]:
    """Return the document and its problems; invalid parts are left out, the others are kept.

    Args:
        source: the file's name, as problems name it.
    """
    if len(text) > MAX_CHARACTERS:
        return Document(), (Problem(source, f"a configuration has at most {MAX_CHARACTERS:,} characters"),)
    trees, problem = load_trees(text, source)
    if problem is None and len(trees) > 1:
        problem = Problem(
            source, "not valid YAML: expected a single document, and '---' begins another: remove it"
        )
    if problem is not None:
        return Document(), (problem,)
    tree = trees[0] if trees else None
    if tree is None:
        return Document(), ()
    if not isinstance(tree, Mapping):
        # a value is not shown: who names the wrong file may name one of secrets, and this goes into a log
        found = kind_of(tree) if isinstance(tree, (list, AbstractSet)) else "a single value"
        return Document(), (Problem(f"{source}:1", f"expected a mapping such as 'version: 1', got {found}"),)
    document, faults = decode(tree, Document, PARSERS)
    problems = [Problem(place_of(tree, source, steps), _one_line(fault)) for steps, fault in faults]
    return document, (*_repeated(tree, source), *problems)


def load_trees(text: str, source: str) -> tuple[list[Any], Problem | None]:
    """Return the documents of a YAML text with their lines, or the problem that prevents it; never raises."""
    yaml = YAML(typ="rt")
    yaml.Constructor, yaml.Scanner = _Constructor, _Scanner
    yaml.max_depth = MAX_DEPTH
    try:
        trees = list(yaml.load_all(text))
        return ([_whole(tree, set()) for tree in trees] if _SURROGATE.search(text) else trees), None
    except MarkedYAMLError as error:
        reason = _one_line(error.problem).partition(", if necessary")[0]  # what a program would have to set
        reason = reason.partition(" with value ")[0]  # which may be anything, also a secret
        began = error.context_mark if any(part in reason for part in _BEGAN) else None
        mark = began or error.problem_mark
        hint = next((f": {hint}" for part, hint in _HINTS if part in reason), "")
        if mark and any("${" in line for line in text.split("\n")[mark.line : mark.line + 1]):
            hint = f": {NO_VARIABLES}"
        return [], Problem(f"{source}:{mark.line + 1 if mark else 1}", f"not valid YAML: {reason}{hint}")
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return [], Problem(f"{source}:{line}", f"U+{error.character:04X} cannot stand in YAML: remove it")
    except Exception as error:  # noqa: BLE001 YAMLError, and Python's errors for an invalid date or number
        return [], Problem(source, f"not valid YAML: {_one_line(error)}")


def _whole(node: Any, seen: set[int]) -> Any:
    """Join surrogates in the texts of a tree, in place; one alone is no character, and no file can hold it."""
    if isinstance(node, str):
        return node.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if id(node) in seen:
        return node
    seen.add(id(node))
    if isinstance(node, list):
        for index, item in enumerate(node):
            node[index] = _whole(item, seen)
    elif isinstance(node, dict):
        for key in list(node):
            joined, value = _whole(key, seen), _whole(node[key], seen)
            if joined != key:
                del node[key]
            node[joined] = value
    return node


def _repeated(tree: Any, source: str) -> Iterator[Problem]:
    """Yield each objective that has the name of one before it, and each metric label that is another's."""
    slos = tree.get("slos")
    seen: set[str] = set()
    for index, slo in enumerate(slos if isinstance(slos, list) else ()):
        if not isinstance(slo, Mapping) or "name" not in slo:
            continue
        name = str(slo["name"])
        if name in seen:
            place = place_of(tree, source, ("slos", index, "name"))
            yield Problem(place, f"two objectives are named '{name}': names are unique")
        seen.add(name)
    tags = tree.get("tags")
    listed = tags.get("metric_labels") if isinstance(tags, Mapping) else ()
    labels: dict[str, str] = {}
    for index, tag in enumerate(listed if isinstance(listed, list) else ()):
        first = labels.setdefault(label_name(str(tag)), str(tag))
        if first != str(tag):
            place = place_of(tree, source, ("tags", "metric_labels", index))
            yield Problem(
                place,
                f"{first!r} and {str(tag)!r} are one label, {label_name(first)}: rename one of the tags",
            )


def place_of(tree: Any, source: str, steps: Steps) -> str:
    """Return `slotel.yaml:12 slos[0].objective` for the steps into a tree that ruamel.yaml read."""
    line, node, path = 0, tree, ""
    for step in steps:
        if not _has(node, step):
            break
        position = getattr(node, "lc", None)
        if position is not None and position.data and step in position.data:
            line = position.data[step][0]
        name = _one_line(step)
        path += f"[{name}]" if isinstance(node, list) else f".{name}" if path else name
        node = node[step]
        if position is None and hasattr(node, "lc"):  # a document of several
            line = node.lc.line
    return f"{source}:{line + 1} {path}".rstrip()


def _has(node: Any, step: Any) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and 0 <= step < len(node)
    return isinstance(node, Mapping) and step in node


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
