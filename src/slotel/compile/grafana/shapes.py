"""Panels of other shapes: tables, heat map, state timeline. Knows no metric and no objective."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from grafana_foundation_sdk.builders import common, heatmap, statetimeline, table
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import heatmap as h
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from slotel.compile.grafana import panels as p

NUMBER_WIDTH: Final = 120
"""Pixels."""


def table_panel(
    title: str,
    description: str,
    columns: Mapping[str, p.Query],
    *,
    labels: Mapping[str, str],
    sort_by: str,
    descending: bool = True,
    **shown: Any,
) -> Any:
    """Return a table: a row for each set of labels, a column for each label and for each query's present value.

    A cell without a value shows "–", unless an override says more: the panel's own text is for an empty table. A number
    needs no more room than `NUMBER_WIDTH`, unless an override says so: what is left is for names, which begin alike.

    Args:
        columns: heading → query; every query has the same labels.
        labels: label → heading, from left to right.
        sort_by: heading of the column by which the rows are sorted, the largest value first if `descending`.
    """
    queries = list(columns.values())
    values = {f"Value #{ref}": name for ref, name in zip(p.REF_IDS, columns, strict=False)}
    if len(queries) == 1:
        values = {"Value": next(iter(columns))}
    order = {name: index for index, name in enumerate((*labels, *values))}
    panel = (
        table.Panel()
        .show_header(True)
        .cell_height(c.TableCellHeight.SM)
        .sort_by([common.TableSortByFieldState().display_name(sort_by).desc(descending)])
        .with_transformation(d.DataTransformerConfig("merge", options={}))
        .with_transformation(
            d.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": order,
                    "renameByName": {**labels, **values},
                },
            )
        )
    )
    overrides = [
        *(column(name, noValue="–") for name in labels.values()),
        *(column(name, noValue="–", width=NUMBER_WIDTH) for name in columns),
        *shown.get("overrides", ()),
    ]
    shown = {"width": 24, "height": 9, **shown, "unit": p.COUNT, "overrides": overrides}
    return p.dressed(panel, title, description, queries, instant=True, table=True, **shown)


def column(
    name: str,
    *,
    words: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    empty: str = "",
    thresholds: p.Bounds = (),
    **properties: Any,
) -> tuple[str, list[Any]]:
    """Return an override for a column of a table: its heading, and its properties.

    Args:
        name: the column's heading.
        words: value → (text, colour) shown in its place.
        empty: shown in grey where there is no value.
        properties: of the field; `cell_mode` stands for the cell's display, `width` for the column's.
    """
    short = {"cell_mode": "custom.cellOptions", "width": "custom.width"}
    listed = [
        d.DynamicConfigValue(short.get(key, key), {"type": value} if key == "cell_mode" else value)
        for key, value in properties.items()
    ]
    if thresholds:
        listed.append(d.DynamicConfigValue("thresholds", p.steps(thresholds).build()))
    mappings = [*p.value_words(words), *(p.grey_if_empty(empty) if empty else ())]
    if mappings:
        listed.append(d.DynamicConfigValue("mappings", mappings))
    if empty:
        listed.append(d.DynamicConfigValue("noValue", empty))
    return name, listed


def heat_panel(title: str, description: str, query: p.Query, no_value: str) -> Any:
    """Return a heat map of a classic histogram's buckets: time across, value up, colour for how many.

    Args:
        query: samples a second by `le`, in seconds.
    """
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(h.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(h.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
            .fill("dark-orange")
            .reverse(False)
        )
        .y_axis(heatmap.YAxisConfig().unit(p.SECONDS).axis_placement(c.AxisPlacement.LEFT))
        .cell_gap(1)
        .show_legend()
        .tooltip(heatmap.HeatmapTooltip().mode(c.TooltipDisplayMode.SINGLE).y_histogram(True))
    )
    built = p.dressed(panel, title, description, [query], unit=p.SECONDS, height=9, no_value=no_value)
    for target in built.build().targets or []:
        target.format_val = PromQueryFormat.HEATMAP
    return built


def timeline_panel(
    title: str, description: str, query: p.Query, *, states: Mapping[str, tuple[str, str]], no_value: str
) -> Any:
    """Return coloured bars over time: when each series was in which state.

    Args:
        query: a series for each bar; its value is a key of `states`.
        states: value → (text, colour).
    """
    panel = (
        statetimeline.Panel()
        .mappings(p.value_words(states))
        .show_value(c.VisibilityMode.AUTO)
        .row_height(0.8)
        .merge_values(True)
        .legend(p.legend())
    )
    return p.dressed(panel, title, description, [query], unit=p.COUNT, width=24, height=7, no_value=no_value)


CALL_RATES: Final = (
    column("Rate", unit=p.PER_SECOND, decimals=2),
    column("Errors", unit=p.PERCENT, decimals=2, cell_mode="color-text", thresholds=p.FAULTY),
)
"""Overrides for the columns `Rate`, calls a second, and `Errors`, the share of them that failed."""
