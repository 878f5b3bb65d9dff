"""Panels of one number or of lines, thresholds, overrides and links. Knows no metric and no objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    gauge,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import prometheus as p

DATASOURCE: Final = c.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN: Final = "green"
ORANGE: Final = "orange"
RED: Final = "red"
BLUE: Final = "blue"
GREY: Final = "#808080"
FAULTY: Final = ((None, GREEN), (0.01, ORANGE), (0.05, RED))
"""Colours of a share of failed calls."""

PERCENT: Final = "percentunit"
"""A ratio in [0, 1], shown as percent."""
SECONDS: Final = "s"
PER_SECOND: Final = "reqps"
COUNT: Final = "locale"
"""Whole numbers, written out: 1,046."""
NUMBER: Final = "none"
BURN: Final = "suffix:×"
"""A burn rate: 14.4×."""
DAYS: Final = "suffix:days"
BYTES: Final = "bytes"

REF_IDS: Final = "ABCDEFGHIJKLMNOP"


def chosen(label: str, variable: str, before: str = "") -> str:
    """Return the matcher of a label with the one value that a variable has, whatever is in it: `C++`, `it's`, `a|b`.

    Grafana escapes such a value by rules that changed with its releases, for `=` alone, and never for a part of a
    regular expression. Its format `regex` is the same everywhere; in backquotes PromQL keeps the backslashes. A value
    with a backquote cannot be written so: `generate` warns of it.

    Args:
        before: a regular expression of what may precede the value.

    >>> chosen("job", "service", before="([^/]+/)?")
    'job=~`([^/]+/)?${service:regex}`'
    """
    return f"{label}=~`{before}${{{variable}:regex}}`"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query of a panel.

    Args:
        expr: PromQL; Grafana fills in `$service`, `$__rate_interval` and the like.
        legend: name of a series; `{{label}}` stands for a label's value.
        exemplar: ask for exemplars too: dots that lead to a trace.
    """

    expr: str
    legend: str = ""
    exemplar: bool = False


def steps(*bounds: tuple[float | None, str]) -> Any:
    """Return thresholds: (value in the query's unit, colour from it on); the first value is None, the very bottom."""
    listed = [d.Threshold(value=value, color=color) for value, color in bounds]
    return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(listed)


def dashed(name: str, color: str) -> tuple[str, list[Any]]:
    """Return an override that draws the series with this name as a dashed line of a colour."""
    return name, [
        d.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color}),
        d.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
        d.DynamicConfigValue("custom.fillOpacity", 0),
        d.DynamicConfigValue("custom.lineWidth", 2),
    ]


def colored(name: str, color: str) -> tuple[str, list[Any]]:
    """Return an override that draws the series with this name in a colour."""
    return name, [d.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})]


def legend() -> Any:
    """Return a legend below the panel, the builder's default: names only, for a last value may be hours old."""
    return common.VizLegendOptions().show_legend(True)


def series_panel(
    title: str,
    description: str,
    *queries: Query,
    unit: str = NUMBER,
    decimals: int | None = None,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    thresholds: Any = None,
    overrides: Sequence[tuple[str, list[Any]]] = (),
    minimum: float | None = 0,
    maximum: float | None = None,
    no_value: str = "No data",
    over: str = "",
) -> Any:
    """Return the builder of a panel of lines over time. With thresholds, they are drawn as dashed lines.

    Stacked areas have no outline: a series that is 0 would draw its line over the others. What matters most is
    the first query, at the bottom.

    Args:
        unit: Grafana's id of it, as `s`: https://github.com/grafana/grafana, packages/grafana-data/src/valueFormats.
        decimals: of the numbers shown; None lets Grafana choose.
        width, height: in cells of the dashboard's grid, which is 24 wide; a cell is about 36 pixels high.
        overrides: (name of a series, its properties): what `dashed` and `colored` return.
        minimum, maximum: ends of the axis, in the query's unit; values beyond them widen it. None: by the data.
        no_value: shown in place of an empty chart.
        over: how long back the panel looks, as `30d`, instead of the dashboard's time range.
    """
    panel = (
        timeseries.Panel()
        .legend(legend())
        .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
        .line_width(0 if stacked else 1)
        .fill_opacity(75 if stacked else 8)
        .show_points(c.VisibilityMode.NEVER if stacked else c.VisibilityMode.AUTO)
        .span_nulls(False)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    if thresholds is not None:
        panel.thresholds(thresholds)
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED))
    if minimum is not None:
        panel.axis_soft_min(minimum)
    if maximum is not None:
        panel.axis_soft_max(maximum)
    if decimals is not None:
        panel.decimals(decimals)
    if over:
        panel.time_from(over)
    return dressed(panel, title, description, queries, unit, width, height, overrides, no_value)


def stat_panel(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = COUNT,
    width: int = 4,
    height: int = 4,
    thresholds: Any = None,
    decimals: int | None = None,
    words: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    named: bool = False,
    no_value: str = "No data",
) -> Any:
    """Return the builder of one large number: the value now. What no longer is has none, and says so.

    Args:
        decimals: None lets Grafana choose; of the unit COUNT there are none.
        words: value → (text, colour) shown in its place.
        named: show the series' name, too, also where there is one alone.

    The others are those of `series_panel`.
    """
    panel = stat.Panel().color_mode(c.BigValueColorMode.VALUE).graph_mode(c.BigValueGraphMode.NONE)
    if named:
        panel.text_mode(c.BigValueTextMode.VALUE_AND_NAME)
    if decimals is None and unit == COUNT:
        decimals = 0
    return _of_now(
        panel, title, description, [query], unit, width, height, decimals, thresholds, no_value, words
    )


def gauge_panel(
    title: str,
    description: str,
    query: Query,
    *,
    maximum: float,
    width: int = 6,
    height: int = 8,
    decimals: int | None = None,
    thresholds: Any = None,
    no_value: str = "No data",
) -> Any:
    """Return the builder of a dial from 0 to the maximum, with its thresholds as a coloured rim: the value now.

    Args:
        query: of a ratio, which is shown as percent.
        maximum: the same ratio's: 2 ends the dial at 200 %.

    The others are those of `series_panel`.
    """
    panel = gauge.Panel().show_threshold_markers(True).show_threshold_labels(False).min(0).max(maximum)
    return _of_now(panel, title, description, [query], PERCENT, width, height, decimals, thresholds, no_value)


def bars_panel(
    title: str,
    description: str,
    *queries: Query,
    unit: str = NUMBER,
    decimals: int | None = None,
    height: int = 8,
    thresholds: Any = None,
    no_value: str = "No data",
) -> Any:
    """Return the builder of a horizontal bar for each series, in the order of the queries: the value now.

    The arguments are those of `series_panel`.
    """
    panel = (
        bargauge.Panel()
        .orientation(c.VizOrientation.HORIZONTAL)
        .display_mode(c.BarGaugeDisplayMode.BASIC)
        .min(0)
    )
    return _of_now(panel, title, description, queries, unit, 6, height, decimals, thresholds, no_value)


def _of_now(
    panel: Any,
    title: str,
    description: str,
    queries: Sequence[Query],
    unit: str,
    width: int,
    height: int,
    decimals: int | None,
    thresholds: Any,
    no_value: str,
    words: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Any:
    """Return a panel of present values: each query's last one; grey words where there is none.

    Grafana shrinks text until it fits into one line, so only the first sentence of `no_value` stands there. What else
    is to be said of an empty panel is in its description.
    """
    short, stop, advice = no_value.partition(". ")
    if stop:
        description = f"{description} {short}: {advice[:1].lower()}{advice[1:]}"
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    panel.thresholds(thresholds or steps((None, BLUE)))
    panel.mappings([*value_words(words), *grey_if_empty(short)])
    if decimals is not None:
        panel.decimals(decimals)
    return dressed(panel, title, description, queries, unit, width, height, (), short, instant=True)


def grey_if_empty(text: str) -> list[Any]:
    """Return the mapping that shows `text` in grey where there is no value: a threshold's colour would judge it."""
    result = d.ValueMappingResult(text=text, color=GREY)
    options = d.DashboardSpecialValueMapOptions(match=d.SpecialValueMatch.NULL_AND_NAN, result=result)
    return [d.SpecialValueMap(options)]


def value_words(words: Mapping[str, tuple[str, str]]) -> list[Any]:
    """Return the mapping that shows a text in a colour in place of a value; none without words."""
    shown = {
        value: d.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return [d.ValueMap(shown)] if shown else []


def url(title: str, address: str) -> Any:
    """Return a link out of Grafana."""
    return _link(title, address, "external link").target_blank(True)


def to_dashboard(title: str, uid: str, variables: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Return a link to a dashboard that keeps the time range and these variables: its name there → the one here."""
    kept = "&".join(
        f"${{{here}:queryparam}}" if here == there else f"var-{there}=${{{here}}}"
        for there, here in {"datasource": "datasource", **variables}.items()
    )
    return _link(title, f"/d/{uid}?{kept}", "dashboard").keep_time(True)


def _link(title: str, address: str, icon: str) -> Any:
    link = dashboard.DashboardLink(title).type(d.DashboardLinkType.LINK).url(address).icon(icon)
    link.build().placement = None  # the SDK's default hides it in a menu
    return link


def dressed(
    panel: Any,
    title: str,
    description: str,
    queries: Sequence[Query],
    unit: str,
    width: int,
    height: int,
    overrides: Sequence[tuple[str, list[Any]]],
    no_value: str,
    *,
    instant: bool = False,
    table: bool = False,
) -> Any:
    """Return a panel builder with what every panel has: title, description, data source, unit, queries, place.

    Args:
        queries: at most 16; the panel calls them A, B and so on.
        instant: ask for the value now, not for those of the time range.
        table: ask for rows of labels and value, not for series.

    The others are those of `series_panel`.
    """
    panel.title(title).description(description).datasource(DATASOURCE).unit(unit).no_value(no_value)
    panel.span(width).height(height)
    for ref, query in zip(REF_IDS, queries, strict=False):
        panel.with_target(_target(ref, query, instant=instant, table=table))
    for name, properties in overrides:
        panel.override_by_name(name, properties)
    return panel


def _target(ref: str, query: Query, *, instant: bool, table: bool) -> Any:
    target = prometheus.Dataquery().ref_id(ref).expr(query.expr).legend_format(query.legend or "__auto")
    target.datasource(DATASOURCE).editor_mode(p.QueryEditorMode.CODE).exemplar(query.exemplar)
    target.format(p.PromQueryFormat.TABLE if table else p.PromQueryFormat.TIME_SERIES)
    return target.instant() if instant else target.range()
