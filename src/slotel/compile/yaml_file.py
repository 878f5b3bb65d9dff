"""A generated YAML file with its head: from what it was made, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slotel.compile.conventions import period_name
from slotel.compile.promql import yaml_lines
from slotel.config.service import Service
from slotel.config.slo import Slo


def yaml_file(service: Service, what: str, document: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """Return a document as YAML below comment lines: what the file is, and the objectives that it follows from.

    Args:
        what: `Recording rules and alerts`, for one.
        notes: further lines of the comment.
    """
    lines = [
        f"{what} of the service '{service.name}', written by `slotel generate` from its configuration.",
        "Do not edit: change slotel.yaml and run `slotel generate` again. Objectives:",
        *(f"  {_objective(slo)}" for slo in service.slos),
        *notes,
    ]
    return "".join(f"{line}\n" for line in (*(f"# {line}" for line in lines), *yaml_lines(document)))


def _objective(slo: Slo) -> str:
    latency = f" within {slo.latency * 1000:.10g} ms" if slo.latency is not None else ""
    return f"{slo.name}: {slo.objective * 100:.10g} % good{latency} over {period_name(slo)}"
