"""Tables: a row for each set of labels, a column for each query. Knows no metric and no objective."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d

from slotel.compile.grafana.panels import COUNT, REF_IDS, Query, Shown, dressed, grey_if_empty, value_words

if TYPE_CHECKING:
    from typing_extensions import Unpack

NUMBER_WIDTH: Final = 120
"""Pixels."""


def table_panel(
    title: str,
    description: str,
    columns: Mapping[str, Query],
    *,
    labels: Mapping[str, str],
    sort_by: str,
    descending: bool = True,
    **shown: Unpack[Shown],
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
    values = {f"Value #{ref}": name for ref, name in zip(REF_IDS, columns, strict=False)}
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
    shown = {"width": 24, "height": 9, **shown, "unit": COUNT, "overrides": overrides}
    return dressed(panel, title, description, queries, instant=True, table=True, **shown)


def column(
    name: str,
    *,
    words: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    empty: str = "",
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
    mappings = [*value_words(words), *(grey_if_empty(empty) if empty else ())]
    if mappings:
        listed.append(d.DynamicConfigValue("mappings", mappings))
    if empty:
        listed.append(d.DynamicConfigValue("noValue", empty))
    return name, listed


def threshold_value(*bounds: tuple[float | None, str]) -> dict[str, Any]:
    """Return thresholds as a column's property `thresholds`; the bounds are those of `steps`."""
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": color} for value, color in bounds],
    }
