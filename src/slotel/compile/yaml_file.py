"""Generated YAML: documents as text, and files with a head that says from what they were made.

ruamel.yaml takes fifty times as long, more than all other work of `slotel generate` together.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from slotel.compile.conventions import period_name
from slotel.config.service import Service
from slotel.config.slo import Slo

_PLAIN: Final = re.compile(r"[A-Za-z_/](?:[A-Za-z0-9_./:-]*[A-Za-z0-9_/-])?|(?:\d+(?:ms|[smhdwy]))+")
"""Strings that need no quotes, as names, paths and durations."""
_BMP: Final = 0xFFFF
_RESERVED: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


WRITTEN_BY: Final = "written by `slotel generate`"
"""In the first line of each such file."""


def yaml_file(service: Service, what: str, document: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """Return a document as YAML below comment lines: what the file is, and the objectives that it follows from.

    Args:
        what: `Recording rules and alerts`, for one.
        notes: further lines of the comment.
    """
    lines = [
        f"{what} of the service '{service.name}', {WRITTEN_BY} from its configuration.",
        "Do not edit: change slotel.yaml and run `slotel generate` again. Objectives:",
        *(f"  {_objective(slo)}" for slo in service.slos),
        *notes,
    ]
    return "".join(f"# {line}\n" for line in lines) + yaml_text(document)


def _objective(slo: Slo) -> str:
    latency = f" within {slo.latency * 1000:.10g} ms" if slo.latency is not None else ""
    return f"{slo.name}: {slo.objective * 100:.10g} % good{latency} over {period_name(slo)}"


def yaml_text(document: Mapping[str, Any], *, anchors: bool = False) -> str:
    """Return a document of mappings, lists, strings and numbers as YAML, in the order given.

    Args:
        anchors: write a mapping that is the same object in several places of lists once, and an alias elsewhere.
    """
    names = _anchors(document) if anchors else {}
    return "".join(f"{line}\n" for line in yaml_lines(document, anchors=names))


def yaml_lines(
    value: Mapping[str, Any] | Iterable[Any], indent: int = 0, anchors: dict[int, str] | None = None
) -> Iterator[str]:
    """Yield the lines of a part of a document.

    Args:
        indent: spaces before each line.
        anchors: id of a mapping → `&name`; `*name` once it was written.
    """
    pad = " " * indent
    anchors = {} if anchors is None else anchors
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{pad}{_scalar(str(key))}:", item, indent, anchors)
        return
    for item in value:
        anchor = anchors.get(id(item), "")
        if anchor:
            anchors[id(item)] = f"*{anchor[1:]}"
            yield f"{pad}- {anchor}"
            if anchor.startswith("&"):
                yield from yaml_lines(item, indent + 2, anchors)
        elif isinstance(item, Mapping) and item:
            first, *rest = yaml_lines(item, indent + 2, anchors)
            yield f"{pad}- {first[indent + 2 :]}"
            yield from rest
        elif isinstance(item, (list, tuple)) and item:
            yield f"{pad}-"
            yield from yaml_lines(item, indent + 2, anchors)
        else:
            yield f"{pad}- {_scalar(item)}"


def _entry(head: str, item: Any, indent: int, anchors: dict[int, str]) -> Iterator[str]:
    if isinstance(item, str) and _is_block(item):
        yield f"{head} |-"
        yield from (f"{' ' * (indent + 2)}{line}".rstrip() for line in item.split("\n"))
    elif isinstance(item, (Mapping, list, tuple)) and item:
        yield head
        yield from yaml_lines(item, indent + 2, anchors)
    else:
        yield f"{head} {_scalar(item)}"


def _anchors(document: Mapping[str, Any]) -> dict[int, str]:
    counted = Counter(map(id, _mappings_in_lists(document)))
    repeated = [key for key, count in counted.items() if count > 1]
    return {key: f"&shared{number}" for number, key in enumerate(repeated, 1)}


def _mappings_in_lists(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _mappings_in_lists(item)
    elif isinstance(value, (list, tuple)):
        yield from (item for item in value if isinstance(item, Mapping) and item)
        for item in value:
            yield from _mappings_in_lists(item)


def _is_block(text: str) -> bool:
    """Return whether a text stands as lines of its own and is read as it was."""
    lines = text.split("\n")
    plain = all(line.isprintable() and line == line.rstrip() for line in lines)
    return len(lines) > 1 and plain and bool(lines[0]) and bool(lines[-1]) and not lines[0].startswith(" ")


def _scalar(item: Any) -> str:
    if isinstance(item, (Mapping, list, tuple)):
        return "{}" if isinstance(item, Mapping) else "[]"
    if not isinstance(item, str):
        return json.dumps(item)
    if _PLAIN.fullmatch(item) and item.lower() not in _RESERVED:
        return item
    if '"' in item and item.isprintable():
        return "'" + item.replace("'", "''") + "'"
    return _quoted(item)


def _quoted(text: str) -> str:
    """Return a YAML string in double quotes: JSON's, but with nothing in it that is no printable character."""
    return "".join(
        each if each.isprintable() else f"\\u{ord(each):04x}" if ord(each) <= _BMP else f"\\U{ord(each):08x}"
        for each in json.dumps(text, ensure_ascii=False)
    )
