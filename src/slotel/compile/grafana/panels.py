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
Bounds = Sequence[tuple[float | None, str]]
"""Thresholds: (value in the query's unit, colour from it on); the first value is None, the very bottom."""
FAULTY: Final = ((None, GREEN), (0.01, ORANGE), (0.05, RED))
"""Colours of a share of failed calls."""
AGAINST_LIMIT: Final = ((None, GREEN), (0.75, ORANGE), (1, RED))
"""Colours of a rate, as a share of its limit."""

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

NO_DATA: Final = "No data"

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


def steps(bounds: Bounds) -> Any:
    """Return the builder of thresholds."""
    listed = [d.Threshold(value=value, color=color) for value, color in bounds]
    return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(listed)


def dashed(name: str, color: str) -> tuple[str, list[Any]]:
    """Return an override that draws the series with this name as a dashed line of a colour."""
    return name, [
        *colored(name, color)[1],
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
    stacked: bool = False,
    minimum: float | None = 0,
    maximum: float | None = None,
    over: str = "",
    **shown: Any,
) -> Any:
    """Return the builder of a panel of lines over time. With thresholds, they are drawn as dashed lines.

    Stacked areas have no outline: a series that is 0 would draw its line over the others. What matters most is
    the first query, at the bottom.

    Args:
        stacked: areas upon each other, instead of lines.
        minimum, maximum: ends of the axis, in the query's unit; values beyond them widen it. None: by the data.
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
    if shown.get("thresholds"):
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED))
    if minimum is not None:
        panel.axis_soft_min(minimum)
    if maximum is not None:
        panel.axis_soft_max(maximum)
    if over:
        panel.time_from(over)
    return dressed(panel, title, description, queries, **shown)


def stat_panel(
    title: str,
    description: str,
    query: Query,
    *,
    words: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    named: bool = False,
    **shown: Any,
) -> Any:
    """Return the builder of one large number: the value now. What no longer is has none, and says so.

    Args:
        words: value → (text, colour) shown in its place.
        named: show the series' name, too, also where there is one alone.
    """
    panel = stat.Panel().color_mode(c.BigValueColorMode.VALUE).graph_mode(c.BigValueGraphMode.NONE)
    if named:
        panel.text_mode(c.BigValueTextMode.VALUE_AND_NAME)
    shown = {"unit": COUNT, "width": 4, "height": 4, **shown}
    if shown["unit"] == COUNT:
        shown = {"decimals": 0, **shown}
    return _of_now(panel, title, description, [query], words, **shown)


def gauge_panel(title: str, description: str, query: Query, **shown: Any) -> Any:
    """Return the builder of a dial of a rate against its limit, coloured at the rim: the value now.

    Args:
        query: of the rate as a share of the limit, which is shown as percent; the dial ends at 200 %.
    """
    panel = gauge.Panel().show_threshold_markers(True).show_threshold_labels(False).min(0).max(2)
    shown = {"unit": PERCENT, "width": 6, "decimals": 0, "thresholds": AGAINST_LIMIT, **shown}
    return _of_now(panel, title, description, [query], **shown)


def bars_panel(title: str, description: str, *queries: Query, **shown: Any) -> Any:
    """Return the builder of a horizontal bar for each series, in the order of the queries: the value now."""
    panel = bargauge.Panel().orientation(c.VizOrientation.HORIZONTAL).min(0)
    panel.display_mode(c.BarGaugeDisplayMode.BASIC)
    return _of_now(panel, title, description, queries, **{"width": 6, **shown})


def _of_now(
    panel: Any,
    title: str,
    description: str,
    queries: Sequence[Query],
    words: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    **shown: Any,
) -> Any:
    """Return a panel of present values: each query's last one; grey words where there is none.

    Grafana shrinks text until it fits into one line, so it shows only the first sentence of `no_value`. The
    panel's description gets the rest.
    """
    short, stop, advice = shown.get("no_value", NO_DATA).partition(". ")
    if stop:
        description = f"{description} {short}: {advice[:1].lower()}{advice[1:]}"
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    panel.mappings([*value_words(words), *grey_if_empty(short)])
    shown = {"thresholds": ((None, BLUE),), **shown, "no_value": short}
    return dressed(panel, title, description, queries, instant=True, **shown)


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
    """Return the builder of a link out of Grafana, in a new tab."""
    return _link(title, address, "external link").target_blank(True)


def to_dashboard(title: str, uid: str, variables: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Return the builder of a link to a dashboard that keeps the time range.

    Args:
        uid: the other dashboard's, a key of `board.TITLES`.
        variables: passed in addition to the data source: name of the variable there → of the one here.
    """
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
    *,
    instant: bool = False,
    table: bool = False,
    unit: str = NUMBER,
    decimals: int | None = None,
    width: int = 12,
    height: int = 8,
    thresholds: Bounds = (),
    overrides: Sequence[tuple[str, list[Any]]] = (),
    no_value: str = NO_DATA,
) -> Any:
    """Return a panel builder with what every panel has; other functions pass on what they are `shown` with.

    Args:
        queries: at most 16; the panel calls them A, B and so on.
        instant: ask for the value now, not for those of the time range.
        table: ask for rows of labels and value, not for series.
        unit: Grafana's id of it, as `s`: https://github.com/grafana/grafana, packages/grafana-data/src/valueFormats.
        decimals: of the numbers shown; None lets Grafana choose.
        width, height: in cells of the dashboard's grid, which is 24 wide; a cell is about 36 pixels high.
        thresholds: colours by value.
        overrides: (name of a series or a column, its properties): what `dashed`, `colored` and `column` return.
        no_value: shown in place of an empty panel.
    """
    panel.title(title).description(description).datasource(DATASOURCE)
    panel.unit(unit).no_value(no_value).span(width).height(height)
    if decimals is not None:
        panel.decimals(decimals)
    if thresholds:
        panel.thresholds(steps(thresholds))
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
