"""What a person should know about what was compiled: tiers left out, links that have no address. Decides nothing."""

from __future__ import annotations

from slotel.compile.dashboards import left_out
from slotel.compile.promql import number
from slotel.compile.promtests import untested
from slotel.model.duration import format_duration
from slotel.model.service import Service
from slotel.model.slo import MINUTE, Slo


def warnings(service: Service) -> list[str]:
    """Return one sentence for each thing that was left out."""
    found = [sentence for slo in service.slos for sentence in _of_slo(slo)]
    found += [f"rules.test.yaml has no histories for {sentence}" for sentence in untested(service).values()]
    monitoring = service.monitoring
    for name, kind in (("sentry_url", "Sentry"), ("grafana_url", "dashboard"), ("runbook_url", "runbook")):
        if not getattr(monitoring, name):
            found.append(f"monitoring.{name} is not set: alerts carry no {kind} link")
    if left_out():
        found.append(left_out())
    return found


def _of_slo(slo: Slo) -> list[str]:
    found = []
    for tier in slo.dead_tiers():
        burn = tier.burn_rate(slo.period.seconds)
        found.append(
            f"'{slo.name}': the {tier.severity} tier {format_duration(tier.long)}/{format_duration(tier.short)} can "
            f"never fire ({number(burn)} × {slo.limit * 100:.10g} % is an error rate of "
            f"{burn * slo.limit * 100:.10g} %), it is left out"
        )
    if slo.slices is not None and slo.slices.seconds < MINUTE:
        found.append(f"'{slo.name}': a time slice under 1m needs two scrapes within {slo.slices.seconds:g} s")
    return found
