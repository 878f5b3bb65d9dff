"""Builds what promtool expects at a minute of a history: samples, alerts that fire, nothing. Knows no history.

A minute is counted from the history's begin. Source: Prometheus' documentation, "Unit testing for rules".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from slotel.compile.conventions import selected
from slotel.compile.prometheus.input_series import STEP
from slotel.compile.promql import equal, series
from slotel.config.duration import format_duration
from slotel.config.service import Service
from slotel.config.slo import Slo

Test = dict[str, Any]
"""A part of a test file: a whole test, or one of its expectations (`promql_expr_test`)."""
_TELLING: Final = ("sloth_severity", "long", "short", "reason", "operand")
"""Labels that tell an objective's alerts from one another."""


def history(name: str, inputs: list[Test], expected: list[Test]) -> Test:
    """Return a test of promtool's.

    Args:
        name: shown where it fails.
        inputs: what `input_series` returns.
        expected: what the functions below return.
    """
    return {"name": name, "interval": f"{STEP}s", "input_series": inputs, "promql_expr_test": expected}


def alerts(service: Service, slo: Slo, name: str = "", **labels: str) -> str:
    """Return the selector of an objective's alerts; by name and labels, if they are given."""
    named = {"alertname": name} if name else {}
    return series("ALERTS", equal({**named, **selected(service, slo), **labels}))


def firing(name: str, labels: Mapping[str, str], minute: float) -> Test:
    """Expect the alert with exactly these labels.

    Args:
        name: the alert's.
        labels: those that its rule gives it, with `sloth_service` and `sloth_slo`.
    """
    own = {"alertname": name, "alertstate": "firing"}
    chosen = {**own, "sloth_service": labels["sloth_service"], "sloth_slo": labels["sloth_slo"]}
    chosen.update({key: labels[key] for key in _TELLING if key in labels})
    sample = {"labels": series("ALERTS", equal({**own, **labels})), "value": 1}
    return expect(series("ALERTS", equal(chosen)), minute, [sample])


def total(expr: str, value: float, minute: float) -> Test:
    """Expect the sum of all samples of an expression to be a value."""
    return expect(f"sum({expr})", minute, [{"labels": "{}", "value": value}])


def none(expr: str, minute: float) -> Test:
    """Expect no sample of an expression."""
    return expect(expr, minute, [])


def expect(expr: str, minute: float, samples: list[Test]) -> Test:
    """Expect exactly these samples of an expression, each `{"labels": a series, "value": a number}`."""
    return {
        "expr": expr,
        "eval_time": format_duration(minute * 60) if minute else "0s",
        "exp_samples": samples,
    }
