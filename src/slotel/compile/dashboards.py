"""grafana/dashboards/*.json: the four dashboards of a service. Knows which there are, not what is on them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Final

from slotel.config import names
from slotel.config.service import Service

DIRECTORY: Final = "grafana/dashboards"
PATHS: Final = {
    names.DASHBOARD_SLO_LIST: f"{DIRECTORY}/slo-list.json",
    names.DASHBOARD_SLO_DETAIL: f"{DIRECTORY}/slo-detail.json",
    names.DASHBOARD_SERVICE: f"{DIRECTORY}/service.json",
    names.DASHBOARD_PIPELINE: f"{DIRECTORY}/pipeline.json",
}
NEEDED: Final = (3, 11)
"""Grafana's SDK has no version for an older Python."""


def left_out() -> str:
    """Return why this Python can write no dashboards; empty if it can."""
    if sys.version_info < NEEDED:
        return (
            f"the dashboards are left out: Grafana's SDK needs Python 3.11, this is {sys.version.split()[0]}"
        )
    return ""


def files(service: Service) -> Mapping[str, str]:
    """Return the dashboards of a service by their paths; none where `left_out` says why.

    Raises:
        ValueError: Grafana's SDK is not installed, with the command that installs it.
    """
    if left_out():
        return {}
    try:
        with warnings.catch_warnings():
            # The SDK recommends schema v2; v1 (schemaVersion 42) is what every Grafana since 10 reads from a file.
            warnings.simplefilter("ignore", DeprecationWarning)
            from slotel.compile.grafana import pipeline, slo_detail, slo_list
            from slotel.compile.grafana import service as service_board
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("grafana_foundation_sdk"):
            raise
        raise ValueError(
            "the dashboards need Grafana's SDK: run slotel with `uvx --from 'slotel[tools]' slotel …`"
        ) from error
    boards = (slo_list, slo_detail, service_board, pipeline)
    return {path: module.board(service) for path, module in zip(PATHS.values(), boards, strict=True)}
