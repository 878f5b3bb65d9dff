"""Writes families as text: Prometheus 0.0.4 and OpenMetrics 1.0.

The text of a series' labels is cached between scrapes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from math import isfinite, isnan
from typing import Any, Final

from slotel.runtime.metrics.store.store import Exemplar, Family

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

MAX_LABEL_VALUE: Final = 1024
"""Characters of a label value; what is longer is cut and told apart by a checksum."""
SLICE: Final = 50
"""Histograms' series written in one piece: a fraction of a millisecond, after which others may run."""
PER_PROCESS: Final = frozenset({"service.instance.id", "process.pid"})
"""Resource attributes by which the processes of a service differ; the answer is for all of them."""

_EXACT: Final = 1e15
"""Below it every whole number is written with all its digits."""
_SPARE: Final = 1000
"""Cached texts of vanished series that are tolerated."""
_UNSAFE: Final = re.compile(r'[\\"\n\x00]')
_REPLACED: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\x00": "\N{REPLACEMENT CHARACTER}"}
_LABELS: Final = "\x00"
"""The place of the labels in a template: the one character that no escaped label holds."""
_NOT_A_LABEL: Final = re.compile(r"[^a-zA-Z0-9_]+")


class _LabelTexts(dict[tuple[str, ...], str]):
    """The text of the labels of each series, by their values; written when it is first asked for."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, values: tuple[str, ...]) -> str:
        text = self[values] = label_text(self._names, values)
        return text


class Exposition:
    """Writes families, and the resource's attributes (`target`) as `target_info`."""

    def __init__(self, target: Mapping[str, Any] | None = None) -> None:
        own = {_label(key): str(value) for key, value in (target or {}).items() if key not in PER_PROCESS}
        self._target = label_text(tuple(own), tuple(own.values()))
        self._texts: dict[tuple[str, ...], _LabelTexts] = {}

    def render(self, families: Iterable[Family], *, openmetrics: bool = False) -> Iterator[str]:
        """Yield the exposition in pieces of at most `SLICE` series.

        The families' names and series are unique already (`unite`).
        """
        families = list(families)
        self._forget(families)
        if self._target:
            name, kind = ("target", "info") if openmetrics else ("target_info", "gauge")
            yield f"# HELP {name} Target metadata\n# TYPE {name} {kind}\ntarget_info{{{self._target}}} 1\n"
        for family in families:
            if not family.series:
                continue
            yield _head(family, openmetrics=openmetrics)
            texts = self._texts.setdefault(family.label_names, _LabelTexts(family.label_names))
            lines_of, size = (_histogram, SLICE) if family.kind == "histogram" else (_plain, SLICE * 10)
            lines = lines_of(family, texts, openmetrics=openmetrics)
            while text := "".join(islice(lines, size)):
                yield text
        if openmetrics:
            yield "# EOF\n"

    def _forget(self, families: Iterable[Family]) -> None:
        """Drop kept texts where most are of series that went (a worker's gauges)."""
        series = sum(len(family.series) for family in families)
        if sum(map(len, self._texts.values())) > 2 * series + _SPARE:
            self._texts.clear()


def label_text(names: Sequence[str], values: Sequence[str]) -> str:
    r"""Return `a="1",b="2"`, escaped; an empty value is no label, as Prometheus has it.

    >>> label_text(("route", "team"), ('/a"b', ""))
    'route="/a\\"b"'
    """
    return ",".join(
        [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True) if value]
    )


def number(value: float) -> str:
    """Return a value as both formats write it.

    >>> number(3.0), number(0.25), number(float("inf"))
    ('3', '0.25', '+Inf')
    """
    if value % 1 == 0 and abs(value) < _EXACT:
        return str(int(value))
    if isfinite(value):
        return repr(float(value))
    return "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"


# -- lines -----------------------------------------------------------------------------------------------------


def _head(family: Family, *, openmetrics: bool) -> str:
    name = f"{family.name}_total" if family.kind == "counter" and not openmetrics else family.name
    text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if openmetrics:
        text = text.replace('"', '\\"')
    head = f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n"
    if openmetrics and family.unit and name.endswith(f"_{family.unit}"):
        head += f"# UNIT {name} {family.unit}\n"
    return head


def _plain(family: Family, texts: _LabelTexts, *, openmetrics: bool) -> Iterator[str]:
    """Yield the line of each series of a counter or a gauge."""
    name = f"{family.name}_total" if family.kind == "counter" else family.name
    exemplars = family.exemplars if openmetrics and family.kind == "counter" else {}
    for values, row in family.series.items():
        labels = texts[values]
        tail = _exemplar(exemplars.get(values, {}).get(0)) if exemplars else ""
        yield f"{name}{{{labels}}} {number(row[0])}{tail}\n" if labels else f"{name} {number(row[0])}{tail}\n"


def _histogram(family: Family, texts: _LabelTexts, *, openmetrics: bool) -> Iterator[str]:
    """Yield the lines of each series of a histogram."""
    exemplars = family.exemplars if openmetrics else {}
    labelled, bare = _template(family, _LABELS + ","), _template(family, "").replace("{}", "")
    for values, row in family.series.items():
        labels = texts[values]
        counts = tuple(accumulate(row[:-1]))
        text = (labelled if labels else bare) % (*counts, number(row[-1]), counts[-1])
        if exemplars and values in exemplars:
            text = _marked(text, exemplars[values])
        yield text.replace(_LABELS, labels)


def _template(family: Family, labels: str) -> str:
    """Return the lines of one series, with a place for its labels and for each value.

    Filling it and then replacing the labels is two steps in C for all lines: half the time of a string for each.
    """
    name = family.name
    bounds = [*(repr(float(bound)) if isfinite(bound) else "+Inf" for bound in family.bounds), "+Inf"]
    buckets = [f'{name}_bucket{{{labels}le="{bound}"}} %d\n' for bound in bounds]
    end = labels.removesuffix(",")
    return "".join([*buckets, f"{name}_sum{{{end}}} %s\n", f"{name}_count{{{end}}} %d\n"])


def _marked(text: str, exemplars: Mapping[int, Exemplar]) -> str:
    lines = text.split("\n")
    for at, exemplar in exemplars.items():
        lines[at] += _exemplar(exemplar)
    return "\n".join(lines)


def _exemplar(exemplar: Exemplar | None) -> str:
    """Return ` # {…} value time`, or nothing."""
    if exemplar is None:
        return ""
    trace_id, span_id, value, seconds = exemplar
    return f' # {{trace_id="{trace_id:032x}",span_id="{span_id:016x}"}} {number(value)} {seconds:.3f}'


def _escaped(value: str) -> str:
    if len(value) > MAX_LABEL_VALUE:
        value = f"{value[:MAX_LABEL_VALUE]}…{zlib.crc32(value.encode(errors='replace')):08x}"
    return _UNSAFE.sub(lambda found: _REPLACED[found[0]], value)


# -- target_info -----------------------------------------------------------------------------------------------


def _label(key: str) -> str:
    """Return a resource attribute's key as a label's name: it begins with no digit, and not as Prometheus' own do."""
    name = _NOT_A_LABEL.sub("_", key) or "_"
    if name.startswith("__"):
        name = f"_{name.lstrip('_')}"
    return f"key_{name}" if name[0].isdigit() else name
