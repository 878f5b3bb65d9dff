"""The head of every generated file: from what it was made, and how to make it again."""

from __future__ import annotations

from slotel.compile.conventions import period_name
from slotel.config.service import Service
from slotel.config.slo import Slo


def header(service: Service, what: str) -> str:
    """Return comment lines for YAML: what the file is, and the objectives that it follows from.

    Args:
        what: `Recording rules and alerts`, for one.
    """
    lines = [
        f"{what} of the service '{service.name}', written by `slotel generate` from its configuration.",
        "Do not edit: change slotel.yaml and run `slotel generate` again. Objectives:",
        *(f"  {_objective(slo)}" for slo in service.slos),
    ]
    return "".join(f"# {line}\n" for line in lines)


def _objective(slo: Slo) -> str:
    latency = f" within {slo.latency * 1000:.10g} ms" if slo.latency is not None else ""
    return f"{slo.name}: {slo.objective * 100:.10g} % good{latency} over {period_name(slo)}"
