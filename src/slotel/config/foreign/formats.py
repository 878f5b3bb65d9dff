"""Recognizes a configuration's format: slotel's own, Sloth's, OpenSLO or Pyrra's. A service reads only its own.

Objectives from the others are PromQL: a service cannot count them, rules can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from slotel.config.file.document import MAX_CHARACTERS, load_trees
from slotel.config.foreign import openslo, pyrra, sloth
from slotel.config.foreign.findings import Findings, Part
from slotel.config.problem import Problem
from slotel.config.service import Reading, read_service

ALPHA: Final = "openslo/v1alpha"
"""OpenSLO's version that Sloth reads. Source: the specification before version v1."""
_UNITS: Final = {"day": "d", "week": "w", "hour": "h", "month": "M", "quarter": "Q"}
_CALENDAR: Final = frozenset("MQ")
MARKS: Final = (sloth.VERSION, sloth.RESOURCE, "openslo", pyrra.VERSION)
"""Texts of which one stands in every file of another format."""


class Source(NamedTuple):
    """A file: its name, as problems name it, and its text."""

    name: str
    text: str


def read_any(environ: Mapping[str, str], text: str, source: str) -> Reading:
    """Return the first service that a file of any known format describes, with what was refused and why."""
    return read_files(environ, [Source(source, text)])[0]


def read_files(environ: Mapping[str, str], sources: Sequence[Source]) -> tuple[Reading, ...]:
    """Return the services that files of any known formats describe, each with what was refused and why.

    A service's objectives may stand in several files, as what they refer to may.
    """
    found: list[Reading] = []
    parts: list[Part] = []
    for source in sources:
        own = list(_parts(source))
        if own:
            parts += own
        else:
            found.append(read_service(environ, source.text, source.name))
    findings = Findings()
    read = {"Sloth": sloth.read_sloth, "Pyrra": pyrra.read_pyrra}
    for part in parts:
        if part.format in read:
            read[part.format](part, findings)
        elif part.format == "unknown" and not _is_of_kubernetes(part.node):
            findings.refuse(None, part, (), _unknown(part))
    openslo.read_openslo([part for part in parts if part.format == "OpenSLO"], findings)
    found += findings.readings(environ)
    if parts and not any(reading.service.slos or reading.problems for reading in found):
        first = parts[0]
        problem = Problem(first.place(), "there is no objective in it", "left out")
        found.append(replace(read_service(environ), problems=(problem,)))
    return _distinct(found)


def _parts(source: Source) -> Iterator[Part]:
    """Yield the documents of a file that is in another tool's format; none for slotel's own."""
    if len(source.text) > MAX_CHARACTERS or not any(mark in source.text for mark in MARKS):
        return
    trees, problem = load_trees(source.text, source.name)
    if problem is not None:
        return  # the native reader says what is wrong with it
    root: Any = trees[0] if len(trees) == 1 else trees
    parts: list[Part] = []
    for index, tree in enumerate(trees):
        for steps, node in _documents(tree, () if len(trees) == 1 else (index,)):
            part = Part(root, source.name, steps, node, _format(node))
            parts += _as_v1(part) if node.get("apiVersion") == ALPHA else [part]
    if any(part.format != "unknown" or _is_openslo(part.node) for part in parts):
        yield from parts


def _documents(tree: Any, steps: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    """Yield the documents: single ones, those of a list, and those of a Kubernetes List."""
    if isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _documents(item, (*steps, index))
    elif isinstance(tree, Mapping) and tree.get("kind") == "List" and isinstance(tree.get("items"), list):
        for index, item in enumerate(tree["items"]):
            yield from _documents(item, (*steps, "items", index))
    elif isinstance(tree, Mapping):
        yield steps, tree


def _as_v1(part: Part) -> Iterator[Part]:
    """Yield a document of v1 for each objective of an SLO, for each has its own metrics; others as they are."""
    spec = part.node.get("spec")
    objectives = spec.get("objectives") if isinstance(spec, Mapping) else None
    if part.node.get("kind") != "SLO" or not isinstance(spec, Mapping) or not isinstance(objectives, list):
        yield part
        return
    for index, item in enumerate(objectives):
        if not isinstance(item, Mapping):
            continue
        metadata = dict(part.node.get("metadata") or {})
        if len(objectives) > 1:
            metadata["name"] = f"{metadata.get('name')}-{index}"
        kept = {key: spec[key] for key in ("service", "description", "budgetingMethod") if key in spec}
        made = {
            **kept,
            "indicator": {"spec": _indicator(spec, item)},
            "objectives": [{key: value for key, value in item.items() if key != "ratioMetrics"}],
            **_window(spec.get("timeWindows")),
        }
        yield part._replace(node={"kind": "SLO", "metadata": metadata, "spec": made})


def _indicator(spec: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    ratio = item.get("ratioMetrics")
    if isinstance(ratio, Mapping):
        sides = {key: _metric(ratio[key]) for key in ("good", "bad", "total") if key in ratio}
        return {"ratioMetric": {"counter": bool(ratio.get("incremental", False)), **sides}}
    indicator = spec.get("indicator")
    threshold = indicator.get("thresholdMetric") if isinstance(indicator, Mapping) else None
    return {"thresholdMetric": _metric(threshold)} if threshold is not None else {}


def _metric(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {"metricSource": {"type": part.get("source", "prometheus"), "spec": {"query": part.get("query")}}}


def _window(windows: Any) -> dict[str, Any]:
    if not isinstance(windows, list) or not windows or not isinstance(windows[0], Mapping):
        return {}
    unit = _UNITS.get(str(windows[0].get("unit", "Day")).lower(), "")
    rolling = unit not in _CALENDAR
    return {"timeWindow": [{"duration": f"{windows[0].get('count', 30)}{unit}", "isRolling": rolling}]}


def _format(node: Mapping[str, Any]) -> str:
    version, kind = str(node.get("apiVersion", "")), node.get("kind")
    if version in {openslo.VERSION, ALPHA}:
        return "OpenSLO"
    if version == pyrra.VERSION and kind == pyrra.KIND:
        return "Pyrra"
    if node.get("version") == sloth.VERSION or (version == sloth.RESOURCE and kind == sloth.KIND):
        return "Sloth"
    return "unknown"


def _unknown(part: Part) -> str:
    if _is_openslo(part.node):
        return f"{part.node['apiVersion']} is not read: convert the document to {openslo.VERSION}"
    return "no objective of a known format"


def _is_of_kubernetes(node: Mapping[str, Any]) -> bool:
    """Return whether it is an object of another kind, such as a Deployment, which may stand in the same file."""
    version, kind = node.get("apiVersion"), node.get("kind")
    known = ("openslo", pyrra.VERSION.partition("/")[0], sloth.RESOURCE.partition("/")[0])
    if not isinstance(version, str) or not isinstance(kind, str):
        return False
    return not version.startswith(known) and kind not in {sloth.KIND, pyrra.KIND, "SLO"}


def _is_openslo(node: Mapping[str, Any]) -> bool:
    return str(node.get("apiVersion", "")).startswith("openslo/")


def _distinct(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """Return the readings with a problem in each whose id is another's: dashboards that join by it would mix them."""
    seen: dict[str, str] = {}
    found: list[Reading] = []
    for reading in readings:
        name, problems = reading.service.name, []
        if name in {each.service.name for each in found} - {None}:
            reason = "two files describe it: a service has one slotel.yaml, or files of other formats"
            problems.append(Problem(f"service '{name}'", reason, "left out"))
        for slo in reading.service.slos:
            identity, mine = f"{name}-{slo.name}", f"'{name}' and its objective '{slo.name}'"
            other = seen.setdefault(identity, mine)
            if other != mine:
                reason = f"the id '{identity}' is also that of service {other}: rename one of them"
                problems.append(Problem(f"service '{name}', objective '{slo.name}'", reason, "left out"))
        found.append(replace(reading, problems=(*reading.problems, *problems)))
    return tuple(found)
