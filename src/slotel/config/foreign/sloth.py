"""Sloth's files, `prometheus/v1` and the Kubernetes resource. Source: the documentation of the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from slotel.config.foreign.counts import count, ratio
from slotel.config.foreign.findings import (
    Findings,
    Part,
    RefusedError,
    Steps,
    checked_groups,
    flag,
    mapping,
    percentage,
    queries_of,
    read_query,
    texts,
    written,
)
from slotel.config.monitoring import RESERVED_LABELS
from slotel.config.slo import Alerting, Queries, SeverityAlerts, Slo

VERSION: Final = "prometheus/v1"
RESOURCE: Final = "sloth.slok.dev/v1"
KIND: Final = "PrometheusServiceLevel"
_KEYS: Final = {
    "error_query": "errorQuery",
    "total_query": "totalQuery",
    "error_ratio_query": "errorRatioQuery",
    "page_alert": "pageAlert",
    "ticket_alert": "ticketAlert",
    "slo_plugins": "sloPlugins",
}
"""Names of the same fields in the Kubernetes resource."""


def read_sloth(part: Part, findings: Findings) -> None:
    """Read the service of a Sloth document."""
    node, at = part.node, ()
    if node.get("kind") == KIND:
        node, at = mapping(node.get("spec"), ("spec",)), ("spec",)  # type: ignore[assignment]  # steps of any length
    name = node.get("service")
    if isinstance(name, (Mapping, list)) or not name:
        findings.refuse(None, part, (*at, "service"), "expected the service's name")
        return
    service = written(name)
    with findings.attempt(service, part, at):
        _Reader(part, findings, service, at).read(node)


class _Reader:
    """Reads one service."""

    def __init__(self, part: Part, findings: Findings, service: str, at: Steps) -> None:
        self._part, self._findings, self._service, self._at = part, findings, service, at
        self._is_resource = bool(at)

    def read(self, node: Mapping[str, Any]) -> None:
        """Read every objective; one that is refused is named and left out."""
        self._known(node, ("version", "service", "labels", "slos", "slo_plugins"), self._at)
        if node.get("slo_plugins") or node.get("sloPlugins"):
            self._ignore((*self._at, "slo_plugins"), "plugins are Sloth's own programs: they have no effect")
        labels = self._labels(node.get("labels"), (*self._at, "labels"))
        slos = node.get("slos")
        if not isinstance(slos, list) or not slos:
            raise RefusedError((*self._at, "slos"), "expected a list of objectives")
        for index, item in enumerate(slos):
            steps = (*self._at, "slos", index)
            with self._findings.attempt(self._service, self._part, steps):
                self._findings.add(self._service, self._part, self._slo(item, steps, labels), steps)

    def _slo(self, item: Any, steps: Steps, labels: Mapping[str, str]) -> Slo:
        self._known(item, ("name", "objective", "description", "labels", "sli", "alerting", "plugins"), steps)
        if item.get("plugins"):
            self._ignore((*steps, "plugins"), "plugins are Sloth's own programs: they have no effect")
        objective = percentage(item["objective"], (*steps, "objective"))
        return Slo(
            name=written(item["name"]),
            limit=float(1 - objective),
            objective=float(objective),
            description=str(item.get("description") or "").strip(),
            queries=self._queries(mapping(item.get("sli"), (*steps, "sli")), (*steps, "sli")),
            labels={**labels, **self._labels(item.get("labels"), (*steps, "labels"))},
            alerting=self._alerting(item.get("alerting"), (*steps, "alerting")),
        )

    def _queries(self, sli: Mapping[str, Any], steps: Steps) -> Queries:
        self._known(sli, ("events", "raw", "plugin"), steps)
        if sli.get("plugin"):
            raise RefusedError(
                (*steps, "plugin"), "plugins are Sloth's own programs: write out their queries"
            )
        if sli.get("raw"):
            return self._raw(sli["raw"], (*steps, "raw"))
        events, at = sli.get("events"), (*steps, "events")
        if not events:
            raise RefusedError(steps, "expected events with error_query and total_query, or raw")
        self._known(events, ("error_query", "total_query"), at)
        bad = self._query(count, events, (*at, self._key(events, "error_query")))
        total = self._query(count, events, (*at, self._key(events, "total_query")), is_total=True)
        return queries_of(bad, total, at)

    def _query(self, read: Callable[..., Any], part: Mapping[str, Any], place: Steps, **how: bool) -> Any:
        found = read_query(read, part[place[-1]], place, **how)
        for note in found.notes:
            self._ignore(place, note)
        return found

    def _raw(self, raw: Any, steps: Steps) -> Queries:
        self._known(raw, ("error_ratio_query",), steps)
        place = (*steps, self._key(raw, "error_ratio_query"))
        found = self._query(ratio, raw, place)
        if found.bad is not None:
            return queries_of(found.bad, found.total, place)
        if not found.is_windowed:
            raise RefusedError(place, "a ratio has its window as [{{.window}}]: slotel asks for many windows")
        return Queries(ratio=found.text, groups=checked_groups(found.groups, place))

    def _labels(self, part: Any, steps: Steps) -> dict[str, str]:
        found = texts(part, steps)
        for name in found:
            if name in RESERVED_LABELS:
                self._ignore((*steps, name), f"the label '{name}' is written by the rules themselves")
        return {name: text for name, text in found.items() if name not in RESERVED_LABELS}

    def _alerting(self, part: Any, steps: Steps) -> Alerting:
        found = self._known(
            mapping(part, steps), ("name", "labels", "annotations", "page_alert", "ticket_alert"), steps
        )
        return Alerting(
            name=str(found.get("name") or ""),
            labels=self._of_alerts(found.get("labels"), (*steps, "labels")),
            annotations=texts(found.get("annotations"), (*steps, "annotations")),
            page=self._alert(found, "page_alert", steps),
            ticket=self._alert(found, "ticket_alert", steps),
        )

    def _alert(self, alerting: Mapping[str, Any], name: str, steps: Steps) -> SeverityAlerts:
        key = self._key(alerting, name)
        at = (*steps, key)
        found = self._known(mapping(alerting.get(key), at), ("disable", "labels", "annotations"), at)
        return SeverityAlerts(
            flag(found.get("disable"), (*at, "disable")),
            self._of_alerts(found.get("labels"), (*at, "labels")),
            texts(found.get("annotations"), (*at, "annotations")),
        )

    def _of_alerts(self, part: Any, steps: Steps) -> dict[str, str]:
        found = texts(part, steps)
        if found.pop("alertname", None) is not None:
            self._ignore((*steps, "alertname"), "Prometheus names an alert by its rule: give alerting.name")
        return found

    def _key(self, part: Mapping[str, Any], name: str) -> str:
        """Return how the part calls it: the Kubernetes resource writes errorQuery, the file error_query."""
        other = _KEYS.get(name, name)
        return other if self._is_resource and other in part else name

    def _known(self, part: Any, keys: tuple[str, ...], steps: Steps) -> Mapping[str, Any]:
        """Return the part as a mapping. Sloth ignores unknown keys, so they are only reported."""
        found = mapping(part, steps)
        allowed = [*keys, *(_KEYS[key] for key in keys if key in _KEYS and self._is_resource)]
        for key in found:
            if key not in allowed:
                self._ignore(
                    (*steps, key), f"unknown key, as to Sloth; known are: {', '.join(sorted(allowed))}"
                )
        return found

    def _ignore(self, steps: Steps, reason: str) -> None:
        self._findings.ignore(self._service, self._part, steps, reason)
