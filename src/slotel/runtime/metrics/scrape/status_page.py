"""The status page: the error budgets as a person reads them, from the gauges that a scrape gets. Decides nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from html import escape
from math import isfinite
from typing import Any, Final

from slotel.config import names
from slotel.runtime.metrics.store.store import Family
from slotel.version import __version__

CONTENT_TYPE: Final = "text/html; charset=utf-8"
_REFRESH: Final = 10
"""Seconds."""
_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .4rem .6rem; border-bottom: 1px solid #8884 }
th:first-child, td:first-child { text-align: left }
caption { text-align: left; padding: .4rem .6rem; opacity: .75 }
.over { font-weight: 700 } .over::before { content: "▲ " }
"""


def page(families: Iterable[Family], target: Mapping[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        families: the budget gauges; others are passed over.
        target: the resource's attributes.
    """
    found = {family.name: family for family in families}
    service = escape(str(target.get("service.name", "unknown_service")))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{service}: error budget</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="{_REFRESH}">'
        f"<style>{_STYLE}</style><h1>{service}</h1>{_table(found)}"
        f"<p>slotel {__version__}, answered by process {os.getpid()} for all of the service. "
        f'<a href="/metrics">Metrics</a></p></html>'
    )


def _table(found: Mapping[str, Family]) -> str:
    limits = _rows(found, names.BUDGET_LIMIT)
    if not limits:
        return "<p>No objective is declared.</p>"
    errors, burns = _rows(found, names.BUDGET_ERROR), _rows(found, names.BUDGET_BURN)
    left = _rows(found, names.BUDGET_REMAINING)
    windows = list(dict.fromkeys(values[-1] for values in errors))
    heads = "".join(f'<th scope="col">errors, {escape(window)}</th>' for window in windows)
    rows = []
    for values, limit in limits.items():
        cells = "".join(_error(errors.get((*values, w)), burns.get((*values, w))) for w in windows)
        rows.append(
            f'<tr><th scope="row">{escape(values[-1])}</th><td>{_percent(limit)}</td>{cells}'
            f"<td>{_percent(left.get(values))}</td></tr>"
        )
    return (
        "<table><caption>▲ spends the budget faster than it lasts; the burn rate stands in brackets</caption>"
        f'<thead><tr><th scope="col">objective</th><th scope="col">limit</th>{heads}'
        f'<th scope="col">budget left</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _error(ratio: float | None, burn: float | None) -> str:
    if ratio is None or burn is None:
        return "<td>–</td>"
    mark = ' class="over"' if burn > 1 else ""
    return f"<td{mark}>{_percent(ratio)} ({burn:.3g}×)</td>"


def _rows(found: Mapping[str, Family], name: str) -> dict[tuple[str, ...], float]:
    family = found.get(name)
    return {values: row[0] for values, row in family.series.items()} if family is not None else {}


def _percent(ratio: float | None) -> str:
    return f"{ratio * 100:.3g} %" if ratio is not None and isfinite(ratio) else "–"
