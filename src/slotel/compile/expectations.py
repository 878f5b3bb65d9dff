"""What promtool is to find at a minute of a history: samples, alerts that fire, nothing. Knows no history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slotel.compile.feeds import STEP
from slotel.compile.promql import equal, series
from slotel.config.duration import format_duration
from slotel.config.slo import Slo

Test = dict[str, Any]


def history(name: str, inputs: list[Test], expected: list[Test]) -> Test:
    """Return a test of promtool's: input series and what must be true of them."""
    return {"name": name, "interval": f"{STEP}s", "input_series": inputs, "promql_expr_test": expected}


def alerts(slo: Slo, name: str = "", **labels: str) -> str:
    """Return the selector of an objective's alerts; by name and labels, if they are given."""
    chosen = {"alertname": name, "slo": slo.name, **labels} if name else {"slo": slo.name, **labels}
    return series("ALERTS", equal(chosen))


def firing(name: str, labels: Mapping[str, str], minute: float) -> Test:
    """Expect the alert with exactly these labels."""
    own = {"alertname": name, "alertstate": "firing"}
    chosen = {**own, "slo": labels["slo"]}
    chosen.update({key: labels[key] for key in ("severity", "long", "short", "reason") if key in labels})
    sample = {"labels": series("ALERTS", equal({**own, **labels})), "value": 1}
    return expect(series("ALERTS", equal(chosen)), minute, [sample])


def total(expr: str, value: float, minute: float) -> Test:
    """Expect the sum of an expression."""
    return expect(f"sum({expr})", minute, [{"labels": "{}", "value": value}])


def none(expr: str, minute: float) -> Test:
    """Expect no sample."""
    return expect(expr, minute, [])


def expect(expr: str, minute: float, samples: list[Test]) -> Test:
    """Expect samples of an expression at a minute."""
    return {
        "expr": expr,
        "eval_time": format_duration(minute * 60) if minute else "0s",
        "exp_samples": samples,
    }
