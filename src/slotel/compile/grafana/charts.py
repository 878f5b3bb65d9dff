"""Panels of shapes and of words: heat map, state timeline, text. Knows no metric and no objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.builders import heatmap, statetimeline, text
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import heatmap as h
from grafana_foundation_sdk.models import prometheus as p
from grafana_foundation_sdk.models import text as t

from slotel.compile.grafana.panels import COUNT, SECONDS, Query, dressed, legend, value_words


def heat_panel(title: str, description: str, query: Query, no_value: str) -> Any:
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
        .y_axis(heatmap.YAxisConfig().unit(SECONDS).axis_placement(c.AxisPlacement.LEFT))
        .cell_gap(1)
        .show_legend()
        .tooltip(heatmap.HeatmapTooltip().mode(c.TooltipDisplayMode.SINGLE).y_histogram(True))
    )
    built = dressed(panel, title, description, [query], unit=SECONDS, height=9, no_value=no_value)
    for target in built.build().targets or []:
        target.format_val = p.PromQueryFormat.HEATMAP
    return built


def timeline_panel(
    title: str, description: str, query: Query, *, states: Mapping[str, tuple[str, str]], no_value: str
) -> Any:
    """Return coloured bars over time: when each series was in which state.

    Args:
        query: a series for each bar; its value is a key of `states`.
        states: value → (text, colour).
    """
    panel = (
        statetimeline.Panel()
        .mappings(value_words(states))
        .show_value(c.VisibilityMode.AUTO)
        .row_height(0.8)
        .merge_values(True)
        .legend(legend())
    )
    return dressed(panel, title, description, [query], unit=COUNT, width=24, height=7, no_value=no_value)


def text_panel(title: str, content: str, height: int) -> Any:
    """Return a panel of Markdown as wide as the dashboard; a cell of its height is about 36 pixels."""
    return text.Panel().title(title).mode(t.TextMode.MARKDOWN).content(content).span(24).height(height)
