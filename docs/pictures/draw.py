"""Draws a dashboard's panels as SVG and HTML from what Prometheus answered: own, plain pictures, no likeness of Grafana."""

import html
import itertools
import math
from collections.abc import Iterable
from typing import Any

COLUMN, ROW = 55, 34
"""Pixels of a grid unit."""
PALETTE = (
    "#2f6fde",
    "#d9822b",
    "#14957d",
    "#8e44ad",
    "#c0392b",
    "#5b7083",
    "#b58900",
    "#00838f",
    "#7cb342",
    "#ad1457",
)
NAMED = {"green": "#2e9e5b", "orange": "#e08a1e", "red": "#d23b3b", "blue": "#2f6fde", "transparent": "none"}
Samples = list[tuple[float, float]]

STYLE = """
* { box-sizing: border-box } body { margin: 0; padding: 14px; background: #eef1f5; color: #1f2933; width: 1348px;
font: 12px/1.35 "DejaVu Sans", sans-serif } h1 { font-size: 19px; margin: 2px 4px 0 } .note { margin: 2px 4px 10px; color: #55606b }
.grid { position: relative } .panel { position: absolute; padding: 3px } .box { background: #fff; border: 1px solid #d6dce3;
border-radius: 5px; width: 100%; height: 100%; padding: 6px 9px; overflow: hidden; display: flex; flex-direction: column }
.row { position: absolute; left: 3px; font-weight: bold; color: #44505c; padding-top: 10px } .title { font-weight: bold; font-size: 12px;
white-space: nowrap; overflow: hidden; text-overflow: ellipsis } .body { flex: 1; min-height: 0; display: flex; flex-direction: column }
.big { margin: auto; font-size: 27px; font-weight: bold; white-space: nowrap } .legend { font-size: 10.5px; color: #44505c; overflow: hidden;
display: flex; flex-wrap: wrap; gap: 0 12px; max-height: 31px } .legend i { display: inline-block; width: 11px; height: 3px; margin: 0 4px 3px 0 }
table { border-collapse: collapse; width: 100%; font-size: 12px } th { text-align: left; border-bottom: 1px solid #c7cfd8; font-weight: bold;
padding: 4px 6px } td { padding: 4px 6px; border-bottom: 1px solid #eef1f5 } text { font: 10px "DejaVu Sans", sans-serif; fill: #66727e }
"""


def page(dashboard: dict[str, Any], answers: dict[int, list[Any]], note: str) -> tuple[str, int]:
    """Return the HTML of a dashboard and its height in pixels."""
    parts, bottom = [], 0
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        place = f"left:{at['x'] * COLUMN}px;top:{at['y'] * ROW}px;width:{at['w'] * COLUMN}px;height:{at['h'] * ROW}px"
        bottom = max(bottom, (at["y"] + at["h"]) * ROW)
        if panel["type"] == "row":
            parts.append(
                f'<div class="row" style="top:{at["y"] * ROW}px">{html.escape(panel["title"])}</div>'
            )
            continue
        body = _draw(panel, answers.get(panel["id"], []), at["w"] * COLUMN - 26, at["h"] * ROW - 42)
        title = f'<div class="title">{html.escape(panel["title"])}</div>'
        parts.append(
            f'<div class="panel" style="{place}"><div class="box">{title}<div class="body">{body}</div></div></div>'
        )
    head = f"<h1>{html.escape(dashboard['title'])}</h1><div class='note'>{html.escape(note)}</div>"
    text = (
        f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{head}"
        f'<div class="grid" style="height:{bottom}px">{"".join(parts)}</div>'
    )
    return text, bottom + 80


def _draw(panel: dict[str, Any], answers: list[Any], width: float, height: float) -> str:
    kinds = {
        "stat": _stat, "gauge": _gauge, "bargauge": _bars, "table": _table, "heatmap": _heat, "state-timeline": _timeline,
        "timeseries": _lines,
    }  # fmt: skip
    return kinds[panel["type"]](panel, answers, width, height) if panel["type"] in kinds else ""


def show(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a number as people read it."""
    if unit == "percentunit":
        digits = (
            decimals if decimals is not None else (0 if abs(value) >= 1 else 1 if abs(value) >= 0.02 else 2)
        )
        return f"{value * 100:.{digits}f} %"
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.1f} {name}"
        return f"{value * 1000:.0f} ms" if 0 < abs(value) < 1 else "0 s" if not value else f"{value:.2f} s"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    suffix = {"reqps": "/s", "ops": "/s", "cpm": "/min", "d": " d"}.get(unit, "")
    number = (
        f"{value:.{decimals}f}"
        if decimals is not None
        else f"{value:.3g}"
        if abs(value) < 1000
        else f"{value:,.0f}"
    )
    return number + suffix


def _color(name: str) -> str:
    return NAMED.get(name, name)


def _by_threshold(panel: dict[str, Any], value: float, steps: list[dict] | None = None) -> str:
    color = "#2f6fde"
    for step in steps or panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            color = _color(step["color"])
    return color


def _named(answers: Iterable[Any]) -> list[tuple[str, Samples]]:
    return [(answer.name(labels), samples) for answer in answers for labels, samples in answer.series]


def _unit(panel: dict[str, Any]) -> str:
    return panel["fieldConfig"]["defaults"].get("unit", "short")


def _stat(panel: dict[str, Any], answers: list[Any], width: float, height: float) -> str:
    series = _named(answers)
    if not series:
        return f'<div class="big" style="font-size:14px">{html.escape(panel["fieldConfig"]["defaults"]["noValue"])}</div>'
    name, samples = series[0]
    value = samples[-1][1]
    shown = show(value, _unit(panel), panel["fieldConfig"]["defaults"].get("decimals"))
    color = _by_threshold(panel, value)
    spark = ""
    if panel["options"].get("graphMode") == "area":
        spark = _svg(
            width, 34, _path(samples, width, 32, 0, max(v for _, v in samples) or 1, color, fill=0.15)
        )
    labelled = (
        f'<div style="text-align:center;color:#55606b">{html.escape(name)}</div>'
        if "version" in panel["title"]
        else ""
    )
    return f'<div class="big" style="color:{color}">{shown}</div>{labelled}{spark}'


def _gauge(panel: dict[str, Any], answers: list[Any], width: float, height: float) -> str:
    value = _named(answers)[0][1][-1][1]
    defaults = panel["fieldConfig"]["defaults"]
    top = defaults["max"]
    radius = min(width / 2 - 12, height - 34)
    cx, cy = width / 2, radius + 16

    def arc(start: float, end: float, r: float, color: str, thick: float) -> str:
        a, b = (math.pi * (1 - min(max(x, 0), top) / top) for x in (start, end))
        x1, y1, x2, y2 = (
            cx + r * math.cos(a),
            cy - r * math.sin(a),
            cx + r * math.cos(b),
            cy - r * math.sin(b),
        )
        return f'<path d="M{x1:.1f} {y1:.1f}A{r} {r} 0 0 1 {x2:.1f} {y2:.1f}" fill="none" stroke="{color}" stroke-width="{thick}"/>'

    steps = defaults["thresholds"]["steps"]
    rim = [
        arc(
            step["value"] or 0,
            (steps[index + 1]["value"] if index + 1 < len(steps) else top),
            radius + 6,
            _color(step["color"]),
            4,
        )
        for index, step in enumerate(steps)
    ]
    color = _by_threshold(panel, value)
    dial = arc(0, top, radius - 9, "#e5e9ee", 20) + arc(0, value, radius - 9, color, 20)
    number = f'<text x="{cx}" y="{cy - 6}" text-anchor="middle" style="font-size:25px;font-weight:bold;fill:{color}">{show(value, _unit(panel))}</text>'
    return _svg(width, height, "".join(rim) + dial + number)


def _bars(panel: dict[str, Any], answers: list[Any], width: float, height: float) -> str:
    order = {"5m": 0, "30m": 1, "1h": 2, "2h": 3, "6h": 4, "1d": 5, "3d": 6}
    series = sorted(_named(answers), key=lambda one: order.get(one[0], 9))
    top = max(1.0, *(samples[-1][1] for _, samples in series))
    step, parts = (height - 6) / len(series), []
    for index, (name, samples) in enumerate(series):
        value, y = samples[-1][1], 4 + index * step
        parts.append(f'<text x="0" y="{y + step * 0.6:.0f}">{name}</text>')
        parts.append(
            f'<rect x="32" y="{y:.0f}" width="{width - 86:.0f}" height="{step * 0.72:.0f}" fill="#eef1f5"/>'
        )
        parts.append(
            f'<rect x="32" y="{y:.0f}" width="{(width - 86) * value / top:.0f}" height="{step * 0.72:.0f}" fill="{_by_threshold(panel, value)}"/>'
        )
        parts.append(
            f'<text x="{width - 48:.0f}" y="{y + step * 0.6:.0f}">{show(value, _unit(panel))}</text>'
        )
    return _svg(width, height, "".join(parts))


def _table(panel: dict[str, Any], answers: list[Any], width: float, height: float) -> str:
    options = panel["transformations"][-1]["options"]
    renamed = options["renameByName"]
    placed = sorted(renamed, key=options["indexByName"].__getitem__)
    labels = [name for name in placed if not name.startswith("Value")]
    heads = [name for name in placed if name.startswith("Value")]
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for head, answer in zip(heads, answers, strict=True):
        for found, samples in answer.series:
            rows.setdefault(tuple(found.get(label, "") for label in labels), {})[head] = samples[-1][1]
    properties = {
        override["matcher"]["options"]: {one["id"]: one.get("value") for one in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    kept = [index for index, _ in enumerate(labels) if any(row[index] for row in rows)]
    sort = next(
        (head for head in heads if renamed[head] == panel["options"]["sortBy"][0]["displayName"]), heads[0]
    )
    ordered = sorted(
        rows.items(),
        key=lambda row: row[1].get(sort, 0),
        reverse=bool(panel["options"]["sortBy"][0].get("desc")),
    )
    text = "".join(f"<th>{html.escape(renamed[labels[index]])}</th>" for index in kept)
    text += "".join(f"<th>{html.escape(renamed[head])}</th>" for head in heads)
    lines = [f"<tr>{text}</tr>"]
    for key, values in ordered:
        cells = "".join(f"<td>{html.escape(key[index])}</td>" for index in kept)
        lines.append(
            f"<tr>{cells}{''.join(_cell(panel, properties.get(renamed[head], {}), values.get(head)) for head in heads)}</tr>"
        )
    return f"<table>{''.join(lines)}</table>"


def _cell(panel: dict[str, Any], chosen: dict[str, Any], value: float | None) -> str:
    if value is None:
        return f"<td>{chosen.get('noValue', '')}</td>"
    shown = show(value, chosen.get("unit", "short"), chosen.get("decimals"))
    kind = (chosen.get("custom.cellOptions") or {}).get("type")
    if kind == "gauge":
        bar = f'<div style="background:#2f6fde;height:9px;width:{value * 120:.0f}px;display:inline-block;margin-right:6px"></div>'
        return f"<td>{bar}{shown}</td>"
    if kind == "color-text":
        return f'<td style="color:{_by_threshold(panel, value, chosen["thresholds"]["steps"])};font-weight:bold">{shown}</td>'
    return f"<td>{shown}</td>"


def _heat(panel: dict[str, Any], answers: list[Any], width: float, height: float) -> str:
    edges = sorted(
        ((float(labels["le"]), samples) for labels, samples in answers[0].series), key=lambda one: one[0]
    )
    times = [at for at, _ in edges[0][1]]
    chunk = max(1, len(times) // 90)
    below = [0.0] * len(times)
    rows = []
    for _, samples in edges:
        known = dict(samples)
        above = [known.get(at, 0.0) for at in times]
        rows.append([max(a - b, 0.0) for a, b in zip(above, below, strict=True)])
        below = above
    cells = [[sum(row[i : i + chunk]) for i in range(0, len(row), chunk)] for row in rows]
    top = max(max(row) for row in cells) or 1
    left, base = 50, height - 18
    w, h = (width - left) / len(cells[0]), base / len(cells)
    parts = []
    for y, (row, (edge, _)) in enumerate(zip(cells, edges, strict=True)):
        parts.append(
            f'<text x="0" y="{base - y * h - 3:.0f}">{"more" if edge == math.inf else show(edge, "s")}</text>'
        )
        for x, value in enumerate(row):
            if value:
                heat = (value / top) ** 0.5
                color = f"rgb({int(255 - 45 * heat)},{int(240 - 165 * heat)},{int(220 - 205 * heat)})"
                parts.append(
                    f'<rect x="{left + x * w:.1f}" y="{base - (y + 1) * h:.1f}" width="{w - 0.5:.1f}" height="{h - 0.5:.1f}" fill="{color}"/>'
                )
    return _svg(width, height, "".join(parts) + _hours(left, width, height))


def _timeline(panel: dict[str, Any], answers: list[Any], width: float, height: float) -> str:
    options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    series = sorted(_named(answers))
    start, end = _span(answers)
    left, parts = 240, []
    step = (height - 20) / max(len(series), 1)
    for index, (name, samples) in enumerate(series):
        y = 2 + index * step
        parts.append(f'<text x="0" y="{y + step * 0.6:.0f}">{html.escape(name.strip())}</text>')
        for first, last, value in _runs(samples):
            x = left + (width - left) * (first - start) / (end - start)
            w = (width - left) * (last - first) / (end - start)
            color = _color(options[f"{value:g}"]["color"])
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{min(step * 0.78, 26):.1f}" fill="{color}"/>'
            )
    keys = " &nbsp; ".join(
        f'<i style="background:{_color(one["color"])};height:9px"></i>{one["text"]}'
        for one in options.values()
    )
    return (
        _svg(width, height - 14, "".join(parts) + _hours(left, width, height - 14))
        + f'<div class="legend"><span>{keys}</span></div>'
    )


def _runs(samples: Samples) -> list[tuple[float, float, float]]:
    """Return (from, to, value) of times with one value and no gap."""
    gap = min((b[0] - a[0] for a, b in itertools.pairwise(samples)), default=120)
    runs: list[tuple[float, float, float]] = []
    for at, value in samples:
        if runs and runs[-1][2] == value and at - runs[-1][1] < gap / 2:
            runs[-1] = (runs[-1][0], at + gap, value)
        else:
            runs.append((at, at + gap, value))
    return runs


def _lines(panel: dict[str, Any], answers: list[Any], width: float, height: float) -> str:
    series = _named(answers)
    overrides = {
        override["matcher"]["options"]: {one["id"]: one.get("value") for one in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    if stacked:
        series = _stack(series)
    values = [value for _, samples in series for _, value in samples]
    low = min([*values, custom.get("axisSoftMin", math.inf)])
    top = max([*values, custom.get("axisSoftMax", -math.inf)])
    ticks = _ticks(low, top if top > low else low + 1)
    low, top = min(low, ticks[0]), max(top, ticks[-1])
    left, plot = 52, height - 36 - 16
    unit, parts = _unit(panel), []
    for value in ticks:
        y = plot - plot * (value - low) / (top - low) + 5
        parts.append(f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e9edf1"/>')
        parts.append(
            f'<text x="0" y="{y + 3:.1f}">{show(value, unit, 1 if top - low < 0.05 else 0) if unit == "percentunit" else show(value, unit)}</text>'
        )
    legend = []
    inner = width - left
    for index, (name, samples) in reversed(list(enumerate(series))):
        own = overrides.get(name, {})
        color = _color((own.get("color") or {}).get("fixedColor", PALETTE[index % len(PALETTE)]))
        drawn = _path(
            samples,
            inner,
            plot,
            low,
            top,
            color,
            dashed="custom.lineStyle" in own,
            fill=0.25 if stacked else 0,
            span=_span(answers),
        )
        parts.append(f'<g transform="translate({left},5)">{drawn}</g>')
        shown = show(samples[-1][1] - (_below(series, index) if stacked else 0), unit)
        legend.insert(0, f'<span><i style="background:{color}"></i>{html.escape(name)} <b>{shown}</b></span>')
    parts += _threshold_lines(panel, left, width, plot, low, top)
    return (
        _svg(width, height - 34, "".join(parts) + _hours(left, width, height - 34))
        + f'<div class="legend">{"".join(legend)}</div>'
    )


def _ticks(low: float, top: float) -> list[float]:
    """Return round values from at or above the lowest to at least the highest."""
    rough = (top - low or 1) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    return [round((first + index) * step, 12) for index in range(math.ceil(top / step - 1e-9) - first + 1)]


def _stack(series: list[tuple[str, Samples]]) -> list[tuple[str, Samples]]:
    sums: dict[float, float] = {}
    stacked = []
    for name, samples in series:
        lifted = []
        for at, value in samples:
            sums[at] = sums.get(at, 0.0) + value
            lifted.append((at, sums[at]))
        stacked.append((name, lifted))
    return stacked


def _below(series: list[tuple[str, Samples]], index: int) -> float:
    last = series[index][1][-1][0]
    lower = [samples[-1][1] for _, samples in series[:index] if samples[-1][0] == last]
    return lower[-1] if lower else 0.0


def _threshold_lines(
    panel: dict[str, Any], left: float, width: float, plot: float, low: float, top: float
) -> list[str]:
    if "thresholdsStyle" not in panel["fieldConfig"]["defaults"].get("custom", {}):
        return []
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    parts = []
    for before, step in itertools.pairwise(steps):
        if low <= step["value"] <= top:
            y = plot - plot * (step["value"] - low) / (top - low) + 5
            color = _color(step["color"] if step["color"] != "transparent" else before["color"])
            parts.append(
                f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="{color}" stroke-dasharray="6 4"/>'
            )
    return parts


def _path(
    samples: Samples, width: float, height: float, low: float, top: float, color: str, *, dashed: bool = False, fill: float = 0,
    span: tuple[float, float] | None = None,
) -> str:  # fmt: skip
    start, end = span or (samples[0][0], samples[-1][0])
    points, before = [], None
    for at, value in samples:
        x, y = (
            width * (at - start) / ((end - start) or 1),
            height - height * (value - low) / ((top - low) or 1),
        )
        points.append(f"{'M' if before is None or at - before > 400 else 'L'}{x:.1f} {y:.1f}")
        before = at
    line = "".join(points)
    first, last = points[0][1:].split()[0], points[-1][1:].split()[0]
    area = ""
    if fill:
        base = height - height * (0 - low) / ((top - low) or 1)
        shape = f"{line.replace('M', 'L').replace('L', 'M', 1)}L{last} {base:.1f}L{first} {base:.1f}Z"
        area = f'<path d="{shape}" fill="#fff"/><path d="{shape}" fill="{color}" opacity="{fill}"/>'
    dash = ' stroke-dasharray="7 5"' if dashed else ""
    return f'{area}<path d="{line}" fill="none" stroke="{color}" stroke-width="1.5"{dash}/>'


def _span(answers: list[Any]) -> tuple[float, float]:
    """Return the day that the answers lie in; what is quiet at its ends must not stretch."""
    times = [at for answer in answers for _, samples in answer.series for at, _ in samples]
    start = min(times) // 86400 * 86400
    return start, start + 86400


def _hours(left: float, width: float, height: float) -> str:
    marks = []
    for hour in range(0, 25, 4 if width > 330 else 8):
        x = left + (width - left) * hour / 24
        anchor = "start" if hour == 0 else "end" if hour == 24 else "middle"
        marks.append(f'<text x="{x:.0f}" y="{height - 3:.0f}" text-anchor="{anchor}">{hour:02}:00</text>')
    return "".join(marks)


def _svg(width: float, height: float, content: str) -> str:
    return f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">{content}</svg>'
