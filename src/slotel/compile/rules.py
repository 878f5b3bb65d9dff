"""prometheus/rules.yaml: for each objective a group of records and alerts, and a slower one for its period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slotel.compile import conventions as at
from slotel.compile.alerts import alert_rules
from slotel.compile.header import header
from slotel.compile.promql import Group, yaml_lines
from slotel.compile.records import meta_rules, period_rules, sli_rules
from slotel.compile.sources import counts
from slotel.model.duration import format_duration
from slotel.model.service import Service

PATH = "prometheus/rules.yaml"


def files(service: Service) -> Mapping[str, str]:
    """Return the rule file of a service by its path.

    Raises:
        ValueError: an objective cannot be counted from the chosen source, with the reason.
    """
    document = {"groups": [group.document() for group in groups(service)]}
    return {PATH: header(service, "Recording rules and alerts") + "\n".join(yaml_lines(document)) + "\n"}


def groups(service: Service) -> Iterator[Group]:
    """Yield the rule groups of every objective. Within a group each rule sees what those before it recorded."""
    for slo in service.slos:
        name = at.slo_id(service, slo)
        counted = counts(service, slo)
        yield Group(
            f"slotel-period-{name}",
            format_duration(at.PERIOD_INTERVAL),
            tuple(period_rules(service, slo)),
        )
        yield Group(
            f"slotel-slo-{name}",
            format_duration(at.INTERVAL),
            (
                *sli_rules(service, slo, counted),
                *meta_rules(service, slo),
                *alert_rules(service, slo, counted),
            ),
        )
