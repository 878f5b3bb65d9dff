"""Sloth's `prometheus/v1` files: objectives whose indicators are PromQL. Source: the format's documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from slotel.config.foreign import Findings, Refused, each, known, queries, reading_of
from slotel.config.ratio import parse_ratio
from slotel.config.service import Reading
from slotel.config.slo import Slo

VERSION: Final = "prometheus/v1"


def read_sloth(environ: Mapping[str, str], tree: Any, source: str) -> Reading:
    """Return the service of a Sloth file."""
    findings = Findings(tree, source)
    if tree.get("labels"):
        findings.ignore(("labels",), "labels of the recorded series are slotel's; monitoring.match adds some")
    slos = each(tree.get("slos"), lambda item, steps: _slo(item, steps, findings), findings, ("slos",))
    return reading_of(environ, tree.get("service"), slos, findings)


def _slo(item: Mapping[str, Any], steps: tuple[Any, ...], findings: Findings) -> Slo:
    known(item, ("name", "objective", "description", "labels", "sli", "alerting"), steps)
    sli = item.get("sli") or {}
    known(sli, ("events", "raw", "plugin"), (*steps, "sli"))
    if "raw" in sli:
        raise Refused(
            (*steps, "sli", "raw"),
            "a raw ratio has no counts, so it cannot be weighted by traffic: give events.error_query and total_query",
        )
    if "plugin" in sli:
        raise Refused((*steps, "sli", "plugin"), "plugins are Sloth's own programs: write out their queries")
    events = sli.get("events")
    if not events:
        raise Refused((*steps, "sli"), "expected events with error_query and total_query")
    _ignored(item, steps, findings)
    objective = parse_ratio(item["objective"]) / 100
    if not 0 < objective < 1:
        raise Refused(
            (*steps, "objective"), "Sloth's objective is a percentage between 0 and 100, without both"
        )
    at = (*steps, "sli", "events")
    return Slo(
        name=str(item["name"]),
        limit=float(1 - objective),
        objective=float(objective),
        description=str(item.get("description", "")),
        queries=queries(
            str(events["error_query"]), str(events["total_query"]), (*at, "error_query"), (*at, "total_query")
        ),
    )


def _ignored(item: Mapping[str, Any], steps: tuple[Any, ...], findings: Findings) -> None:
    if item.get("labels"):
        findings.ignore((*steps, "labels"), "labels of the recorded series are slotel's")
    alerting = item.get("alerting") or {}
    for key in ("name", "labels", "annotations"):
        if alerting.get(key):
            findings.ignore((*steps, "alerting", key), "alerts have slotel's names, labels and annotations")
    for key in ("page_alert", "ticket_alert"):
        alert = alerting.get(key) or {}
        if alert.get("disable"):
            findings.ignore(
                (*steps, "alerting", key), "slotel writes every tier that can fire: route it to nobody"
            )
        elif alert:
            findings.ignore((*steps, "alerting", key), "alerts have slotel's names, labels and annotations")
