"""prometheus/rules.yaml: a group of records and alerts, and a slower one for what takes a day and more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slotel.compile import conventions as at
from slotel.compile.prometheus import records
from slotel.compile.prometheus.alerts import alert_rules
from slotel.compile.promql import Group
from slotel.compile.sources import counts
from slotel.compile.yaml_file import yaml_file
from slotel.config.duration import format_duration
from slotel.config.service import Service

PATH = "prometheus/rules.yaml"


def files(service: Service) -> Mapping[str, str]:
    """Return the rule file of a service by its path.

    Raises:
        ValueError: an objective cannot be counted from the chosen source, or a name is none for Prometheus.
    """
    for text in (service.name or "", *service.monitoring.match.values()):
        _check_label(text)
        if not text.isprintable():
            raise ValueError(f"{text!r} becomes a label: write it without line breaks and control characters")
    for slo in service.slos:
        for text in slo.labels.values():
            _check_label(text)
    document = {"groups": [group.document() for group in groups(service)]}
    return {PATH: yaml_file(service, "Recording rules and alerts", document)}


def _check_label(text: str) -> None:
    if "{{" in text:
        raise ValueError(
            f"{text!r} becomes a label, in which Prometheus takes '{{{{' for a template: leave it out"
        )


def groups(service: Service) -> Iterator[Group]:
    """Yield the two rule groups of a service. Within a group each rule sees what those before it recorded.

    What `monitoring.match` names is part of a group's name: a store that holds two environments has both, and Mimir
    keeps one group of a name.

    Raises:
        ValueError: an objective cannot be counted from the chosen source.
    """
    slos, match = service.slos, service.monitoring.match
    named = ",".join((service.name or "", *(f"{key}={text}" for key, text in match.items())))
    counted = {slo.name: counts(service, slo) for slo in slos}
    yield Group(
        f"slotel-period-{named}",
        format_duration(at.PERIOD_INTERVAL),
        (
            *(rule for slo in slos for rule in records.objective_rules(service, slo)),
            *records.alive_rules(service, [(slo, counted[slo.name]) for slo in slos]),
            *records.long_rules(service, slos),
            *records.period_rules(service, slos),
            *records.budget_rules(service, slos),
        ),
    )
    yield Group(
        f"slotel-slo-{named}",
        format_duration(at.INTERVAL),
        (
            *(rule for slo in slos for rule in records.direct_rules(service, slo, counted[slo.name])),
            *records.ratio_rules(service, slos),
            records.burn_rule(service, slos),
            *(rule for slo in slos for rule in alert_rules(service, slo, counted[slo.name])),
        ),
    )
