"""The sections on slotel itself: what it sends where, what was lost, the service's processes, its series."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from slotel.config import names
from slotel.config.drops import drop
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.setup.exporters import otlp_place
from slotel.runtime.status_page import words
from slotel.runtime.status_page.charts import Html, tag
from slotel.runtime.status_page.sections import card, clock, facts_list, section, table
from slotel.runtime.status_page.shared import SENTRY, Last

if TYPE_CHECKING:
    from slotel.runtime.finding import Finding
    from slotel.runtime.state import Runtime

MOST_SERIES: Final = 6
CLOSE: Final = 0.8
"""Share of the bound from which on a metric's series are worth a look."""


def _counts(families: Iterable[Family], name: str) -> dict[tuple[str, ...], float]:
    """Return the series of a counter that are not 0, largest first."""
    found = {
        labels: float(numbers[0])
        for family in families
        if family.name == name
        for labels, numbers in family.series.items()
        if numbers[0] and len(labels) == len(family.label_names)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def delivery(
    runtime: Runtime, families: Sequence[Family], lasts: Mapping[str, Last], environ: Mapping[str, str]
) -> Html:
    """Return where telemetry goes, when it was last delivered there, and what was lost on the way."""
    lost = _counts(families, names.DROPPED)
    rows = [
        (signal, reason, words.count(number), drop(reason).what) for (signal, reason), number in lost.items()
    ]
    heads = ["signal", "reason", "lost", "what happened"]
    what = table(heads, rows, caption="Lost, by reason", class_="left")
    return section(
        "Delivery",
        tag("div", _sentry(runtime, families, lasts), otlp(environ, lasts), class_="cards"),
        what if rows else tag("p", "Nothing was lost."),
    )


def _sentry(runtime: Runtime, families: Sequence[Family], lasts: Mapping[str, Last]) -> Html:
    if runtime.sentry is None:
        return card("Sentry", tag("p", "off: SENTRY_DSN is not set"))
    facts = {"sends to": str(runtime.sentry.destination), "mode": runtime.service.sentry.mode}
    for labels, number in _counts(families, names.SENTRY_ERRORS).items():
        where = f", environment {labels[1]}" if labels[1] else ""
        facts[f"errors, project {labels[0]}"] = f"{words.count(number)} captured{where}"
    last = lasts.get(SENTRY, Last())
    if last.waiting is not None:
        facts["waiting"] = f"{words.count(last.waiting)} envelopes"
    facts["last delivery"] = "none yet" if last.delivered is None else f"{clock(last.delivered)} UTC"
    return card("Sentry", facts_list(facts.items()))


def otlp(environ: Mapping[str, str], lasts: Mapping[str, Last]) -> Html:
    """Return what the environment sends by OTLP, and when each signal was last delivered."""
    facts: dict[str, object] = {}
    for signal in ("traces", "metrics", "logs"):
        if "otlp" not in environ.get(f"OTEL_{signal.upper()}_EXPORTER", ""):
            continue
        facts[signal] = "://".join(otlp_place(environ, signal.upper()))
        last = lasts.get(signal, Last())
        if last.delivered is not None:
            facts[f"last {signal}"] = f"{clock(last.delivered)} UTC"
        if last.failed is not None:
            facts[f"{signal} refused"] = tag("strong", f"{clock(last.failed)} UTC, nothing accepted since")
    facts.setdefault("traces", "off: OTEL_TRACES_EXPORTER does not name otlp")
    facts["metrics exporter"] = environ.get("OTEL_METRICS_EXPORTER", "") or "–"
    return card("OTLP", facts_list(facts.items()))


def workers(runtime: Runtime, families: Sequence[Family], created: float) -> Html:
    """Return the service's processes side by side, how many ended, and since when (`created`) they count."""
    every = runtime.by_worker.workers() if runtime.by_worker is not None else []
    facts: dict[str, object] = {
        "counting since": f"{clock(created)} UTC, {words.age(time.time() - created)}",
    }
    if len(every) < 2:  # noqa: PLR2004 nothing to compare
        facts["processes"] = f"1: {os.getpid()}"
        return section("Workers", tag("article", facts_list(facts.items()), class_="card"))
    ended = _counts(families, names.WORKER_EXITS)
    facts["exited"] = words.count(ended.get((names.EXITED,), 0.0)) + " (recycled or stopped)"
    facts["killed"] = words.count(ended.get((names.KILLED,), 0.0))
    rows = [
        (
            each.number,
            str(each.pid),
            words.age(time.time() - each.created),
            words.count(each.requests) if each.serves else "–",
            words.count(each.errors) if each.serves else "–",
            words.duration(each.busy / each.requests) if each.requests else "–",
            words.duration(each.cpu),
            words.size(each.memory),
        )
        for each in every
    ]
    heads = ["worker", "process", "age", "requests", "failed", "mean latency", "CPU", "memory"]
    caption = f"{len(every)} running processes"
    return section(
        "Workers",
        tag("article", facts_list(facts.items()), class_="card"),
        table(heads, rows, caption=caption),
    )


def itself(
    runtime: Runtime, families: Sequence[Family], instrumented: Sequence[str], findings: Sequence[Finding]
) -> Html:
    """Return instrumentation, tags and series."""
    facts: dict[str, object] = {"instrumented": ", ".join(instrumented) or "nothing"}
    checked = [(f"{found.subject}: {found.status}", str(found)) for found in findings]
    faults = _counts(families, names.STAGE_ERRORS)
    for (stage,), number in faults.items():
        facts[f"faults in {stage}"] = words.count(number)
    repaired = _counts(families, names.TAG_VIOLATIONS)
    tags = [(name, action, words.count(number)) for (name, action), number in repaired.items()]
    what = "Violations of the tag policy, and redacted tags"
    own = {
        name for table in tuple(runtime.store.tables) for name in (table.shape.name, table.shape.count_name)
    }
    bound = runtime.service.max_series
    numbers = {family.name: len(family.series) for family in families if family.name in own and family.series}
    series = [
        (
            name,
            words.count(number),
            words.count(bound),
            "close to the bound" if number >= CLOSE * bound else "–",
        )
        for name, number in sorted(numbers.items(), key=lambda item: -item[1])[:MOST_SERIES]
    ]
    return section(
        "Instrumentation, tags and series",
        tag("article", facts_list([*facts.items(), *checked]), class_="card"),
        tag("h3", "Tags"),
        table(["tag", "action", "times"], tags, caption=what, class_="left")
        if tags
        else tag("p", "No violation of the tag policy."),
        tag("h3", "Series"),
        table(["metric", "series", "bound", "note"], series, caption="Most series; bound: SLOTEL_MAX_SERIES"),
    )  # fmt: skip
