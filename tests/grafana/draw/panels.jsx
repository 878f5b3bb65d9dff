// The panels. Lines, numbers, bars and tables are drawn by @grafana/ui; gauge, heat map, state timeline, graph and text are no
// library, so they stand here in own, plain drawings. Each notes what it shows in window.shown.
import { FieldType, PanelPlugin, formattedValueToString, getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues } from "@grafana/data";
import * as GD from "@grafana/data";
import { BarGauge, BigValue, TimeSeries, VizRepeater } from "@grafana/ui";
import { TableNG } from "@grafana/ui/internal-table";
import React from "react";

window.shown = {};
const note = (props, what) => void (window.shown[props.id] = { id: props.id, title: props.title, ...what });
const isNumber = (field) => field.type === FieldType.number;
const theme = () => window.theme;
const fault = (props) => props.data.error?.message ?? props.data.errors?.[0]?.message;

function Words({ props, text }) {
  const size = { width: props.width, height: props.height };
  return <div style={{ ...size, display: "grid", placeItems: "center", textAlign: "center", color: "gray" }}>{text}</div>;
}

/** A panel that draws `Drawing` where there is data, and the words for none where not. */
function orWords(type, isEmpty, Drawing) {
  return function Panel(props) {
    const error = fault(props);
    const empty = error || isEmpty(props.data.series);
    if (empty) {
      const words = props.fieldConfig.defaults.noValue ?? "No data";
      note(props, error ? { type, error } : { type, empty: words });
      return <Words props={props} text={error ?? words} />;
    }
    return <Drawing {...props} />;
  };
}

const withoutRows = (frames) => !frames.length || frames.every((frame) => !frame.length);
const never = () => false;

function Lines(props) {
  const { series: frames, annotations = [] } = props.data;
  const fields = frames.flatMap((frame) => frame.fields.filter(isNumber).map((field) => [field, frame]));
  note(props, {
    type: "timeseries",
    names: fields.map(([field, frame]) => getFieldDisplayName(field, frame, frames)),
    last: fields.map(([field]) => formattedValueToString(field.display(field.values.filter((value) => value != null).at(-1)))),
    marks: annotations.map((frame) => [frame.name ?? "", frame.length]),
    traces: annotations.filter((frame) => frame.name === "exemplar").flatMap((frame) => frame.fields.filter((f) => f.config.links?.length).map((f) => f.config.links[0].url)),
  });
  return (
    <TimeSeries frames={frames} structureRev={props.data.structureRev} timeRange={props.timeRange} timeZone={props.timeZone}
      width={props.width} height={props.height} legend={props.options.legend} options={props.options}>
      {(builder) => <Marks builder={builder} annotations={annotations} />}
    </TimeSeries>
  );
}

function Marks({ builder, annotations }) {
  const held = React.useRef({});
  held.current.annotations = annotations;
  React.useLayoutEffect(() => {
    builder.addHook("draw", (plot) => {
      held.current.plot = plot;
      held.current.annotations.forEach((frame) => drawMarks(plot, frame));
    });
  }, [builder]);
  React.useEffect(() => held.current.plot?.redraw(false), [annotations]);
  return null;
}

function drawMarks({ ctx, bbox, scales, valToPos }, frame) {
  const values = (name) => frame.fields.find((field) => field.name === name)?.values ?? [];
  const scale = Object.keys(scales).find((key) => key !== "x");
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = values("color")[0] ?? "#5794f2";
  ctx.setLineDash([4, 4]);
  values("time").forEach((time) => {
    const x = valToPos(time, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) return;
    ctx.beginPath(), ctx.moveTo(x, bbox.top), ctx.lineTo(x, bbox.top + bbox.height), ctx.stroke();
  });
  values("Time").forEach((time, i) => ctx.fillRect(valToPos(time, "x", true) - 2, valToPos(values("Value")[i], scale, true) - 2, 4, 4));
  ctx.restore();
}

function displays(props) {
  return getFieldDisplayValues({
    fieldConfig: props.fieldConfig, reduceOptions: props.options.reduceOptions, replaceVariables: props.replaceVariables,
    theme: theme(), data: props.data.series, sparkline: false, timeZone: props.timeZone,
  });
}

function noteValues(props, type, values) {
  note(props, { type, values: values.map(({ display }) => [display.title ?? "", formattedValueToString(display), display.color]) });
}

function Numbers(props) {
  const values = displays(props);
  noteValues(props, "stat", values);
  const { options } = props;
  return (
    <VizRepeater getValues={() => values} source={props.data} orientation={options.orientation} width={props.width} height={props.height}
      renderCounter={props.renderCounter} autoGrid
      renderValue={({ value, width, height, count }) => (
        <BigValue value={value.display} count={count} colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode}
          textMode={options.textMode === "auto" ? (values.length > 1 ? "value_and_name" : "value") : options.textMode}
          width={width} height={height} theme={theme()} />
      )} />
  );
}

function Bars(props) {
  const values = displays(props);
  noteValues(props, "bargauge", values);
  const { options } = props;
  return (
    <VizRepeater getValues={() => values} source={props.data} orientation={options.orientation} width={props.width} height={props.height}
      minVizHeight={options.minVizHeight} minVizWidth={options.minVizWidth} itemSpacing={8} renderCounter={props.renderCounter}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors, orientation }) => (
        <BarGauge value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)} width={width} height={height}
          orientation={orientation} theme={theme()} itemSpacing={8} displayMode={options.displayMode} showUnfilled={options.showUnfilled}
          valueDisplayMode={options.valueMode} alignmentFactors={alignmentFactors} />
      )} />
  );
}

function Table(props) {
  const frame = props.data.series[0];
  const text = (field, i) => (field.values[i] == null || field.values[i] === "" ? field.config.noValue ?? "" : formattedValueToString(field.display(field.values[i])));
  const rows = Array.from({ length: frame.length }, (_, i) => i);
  const visible = frame.fields.filter((field) => !field.config.custom?.hidden);
  note(props, {
    type: "table",
    columns: visible.map((field) => getFieldDisplayName(field, frame, props.data.series)),
    rows: rows.map((i) => visible.map((field) => text(field, i))),
    colors: rows.map((i) => visible.map((field) => (field.display ? field.display(field.values[i]).color : ""))),
    links: rows.flatMap((i) => visible.flatMap((field) => field.getLinks?.({ valueRowIndex: i }).map((link) => link.href) ?? [])),
  });
  return (
    <TableNG data={frame} width={props.width} height={props.height} noHeader={!props.options.showHeader} sortBy={props.options.sortBy}
      initialSortBy={props.options.sortBy} cellHeight={props.options.cellHeight} timeRange={props.timeRange} fieldConfig={props.fieldConfig}
      structureRev={props.data.structureRev} noValue={props.fieldConfig.defaults.noValue} getActions={() => []} />
  );
}

function Canvas({ props, draw }) {
  const ref = React.useRef(null);
  React.useEffect(() => {
    const context = ref.current.getContext("2d");
    context.clearRect(0, 0, props.width, props.height);
    context.font = "12px sans-serif";
    draw(context);
  });
  return <canvas ref={ref} width={props.width} height={props.height} />;
}

function Gauges(props) {
  const values = displays(props);
  noteValues(props, "gauge", values);
  const width = props.width / values.length;
  const draw = (context) => values.forEach(({ display, field }, i) => {
    const radius = Math.min(width / 2, props.height * 0.75) * 0.8;
    const [x, y] = [width * (i + 0.5), props.height * 0.75];
    const share = Math.max(0, Math.min(1, (display.numeric - (field.min ?? 0)) / ((field.max ?? 100) - (field.min ?? 0))));
    for (const [end, color] of [[1, "#8883"], [share, display.color]]) {
      context.beginPath();
      context.arc(x, y, radius, Math.PI, Math.PI * (1 + end));
      context.lineWidth = radius * 0.3;
      context.strokeStyle = color;
      if (end) context.stroke();
    }
    context.textAlign = "center";
    context.fillStyle = display.color;
    context.fillText(formattedValueToString(display), x, y, width - 8);
    context.fillStyle = theme().colors.text.primary;
    context.fillText(values.length > 1 ? display.title : "", x, y + 18, width - 8);
  });
  return <Canvas props={props} draw={draw} />;
}

function Heatmap(props) {
  const [time, ...buckets] = props.data.series[0].fields;
  note(props, { type: "heatmap", names: buckets.map((bucket) => bucket.name), columns: time.values.length });
  const most = Math.max(...buckets.flatMap((bucket) => bucket.values));
  const [left, w, h] = [60, (props.width - 60) / time.values.length, props.height / buckets.length];
  const draw = (context) => buckets.forEach((bucket, row) => {
    context.fillStyle = theme().colors.text.primary;
    if (row % 3 === 0) context.fillText(bucket.name, 4, props.height - row * h - 2);
    bucket.values.forEach((value, column) => {
      context.fillStyle = `rgba(255, 152, 48, ${Math.sqrt(value / most)})`;
      if (value > 0) context.fillRect(left + column * w, props.height - (row + 1) * h, w + 0.5, h);
    });
  });
  return <Canvas props={props} draw={draw} />;
}

function States(props) {
  const rows = props.data.series.flatMap((frame) => frame.fields.filter(isNumber).map((field) => ({ name: getFieldDisplayName(field, frame, props.data.series), field, time: frame.fields[0] })));
  note(props, { type: "state-timeline", names: rows.map((row) => row.name), states: rows.map(({ field }) => [...new Set(field.values)].map((value) => field.display(value).text)) });
  const [left, h] = [220, props.height / rows.length];
  const range = [props.timeRange.from.valueOf(), props.timeRange.to.valueOf()];
  const x = (at) => left + ((at - range[0]) / (range[1] - range[0])) * (props.width - left);
  const draw = (context) => rows.forEach(({ name, field, time }, row) => {
    context.fillStyle = theme().colors.text.primary;
    context.fillText(name, 4, (row + 0.6) * h, left - 8);
    field.values.forEach((value, i) => {
      const end = Math.min(time.values[i + 1] ?? range[1], time.values[i] + 2 * (time.config.interval ?? 60_000));
      context.fillStyle = field.display(value).color;
      context.fillRect(x(time.values[i]), row * h + 2, Math.max(1, x(end) - x(time.values[i])), h - 4);
    });
  });
  return <Canvas props={props} draw={draw} />;
}

function Markdown(props) {
  note(props, { type: "text", text: props.options.content });
  return <div style={{ padding: 8, whiteSpace: "pre-wrap" }}>{props.options.content}</div>;
}

/** Circles on a ring, and lines between them: nodes and edges are told apart as Grafana does it. */
function Graph(props) {
  const frame = (ref) => props.data.series.find((each) => each.refId === ref);
  const rows = (of, ...names) => Array.from({ length: of?.length ?? 0 }, (_, i) => names.map((name) => {
    const field = of.fields.find((each) => getFieldDisplayName(each, of) === name);
    return isNumber(field) ? formattedValueToString(field.display(field.values[i])) : field.values[i];
  }));
  const nodes = rows(frame("nodes"), "id", "mainstat");
  const edges = rows(frame("edges"), "source", "target", "mainstat");
  note(props, { type: "nodeGraph", names: nodes.map(([name]) => name), nodes, edges });
  const [radius, x, y] = [Math.min(props.width, props.height) / 2 - 60, props.width / 2, props.height / 2];
  const at = Object.fromEntries(nodes.map(([name], i) => [name, [x + radius * 1.6 * Math.cos((i / nodes.length) * 2 * Math.PI), y + radius * Math.sin((i / nodes.length) * 2 * Math.PI)]]));
  const draw = (context) => {
    context.textAlign = "center";
    context.strokeStyle = context.fillStyle = theme().colors.text.secondary;
    edges.forEach(([source, target, rate]) => {
      const [from, to] = [at[source], at[target]];
      context.beginPath(), context.moveTo(...from), context.lineTo(...to), context.stroke();
      context.fillText(rate, (from[0] + 2 * to[0]) / 3, (from[1] + 2 * to[1]) / 3 - 4);
    });
    nodes.forEach(([name, rate]) => {
      context.beginPath(), context.arc(...at[name], 24, 0, 2 * Math.PI);
      context.fillStyle = theme().colors.background.secondary, context.fill(), context.stroke();
      context.fillStyle = theme().colors.text.primary;
      context.fillText(rate, at[name][0], at[name][1] + 4, 44), context.fillText(name, at[name][0], at[name][1] + 40);
    });
  };
  return <Canvas props={props} draw={draw} />;
}

const drawings = {
  timeseries: [Lines, withoutRows],
  stat: [Numbers, never],
  gauge: [Gauges, withoutRows],
  bargauge: [Bars, never],
  table: [Table, (frames) => !frames[0]?.length],
  heatmap: [Heatmap, withoutRows],
  "state-timeline": [States, withoutRows],
  text: [Markdown, never],
  nodeGraph: [Graph, (frames) => !frames.some((frame) => frame.length)],
};
const lines = {
  drawStyle: "line", lineInterpolation: "linear", lineWidth: 1, lineStyle: undefined, fillOpacity: 0, gradientMode: "none", spanNulls: false,
  showPoints: "auto", pointSize: 5, stacking: { mode: "none", group: "A" }, axisPlacement: "auto", axisLabel: "", axisColorMode: "text",
  axisSoftMin: undefined, axisSoftMax: undefined, scaleDistribution: { type: "linear" }, thresholdsStyle: { mode: "off" },
  hideFrom: { legend: false, tooltip: false, viz: false }, insertNulls: false, barAlignment: 0, barWidthFactor: 0.6, showValues: false,
};
const cells = { align: "auto", cellOptions: { type: "auto" }, width: undefined, minWidth: undefined, hidden: undefined, filterable: false, inspect: false, footer: { reducers: [] } };
const hidden = { hideFrom: { legend: false, tooltip: false, viz: false } };
const custom = { timeseries: lines, table: cells, "state-timeline": hidden, heatmap: hidden };

export const plugins = Object.fromEntries(
  Object.entries(drawings).map(([id, [Drawing, isEmpty]]) => {
    const plugin = new PanelPlugin(orWords(id, isEmpty, Drawing));
    plugin.setDataSupport({ annotations: id === "timeseries" || id === "heatmap", alertStates: false });
    plugin.meta = { id, name: id, info: { logos: {} }, sort: 1 };
    const mode = custom[id] && id !== "table" ? GD.FieldColorModeId.PaletteClassic : GD.FieldColorModeId.Thresholds;
    plugin.useFieldConfig({
      standardOptions: { [GD.FieldConfigProperty.Color]: { defaultValue: { mode }, settings: { byValueSupport: true } } },
      useCustomConfig: (builder) => Object.entries(custom[id] ?? {}).forEach(([path, defaultValue]) => builder.addCustomEditor({
        id: path, path, name: path, defaultValue, editor: () => null, override: () => null, process: GD.identityOverrideProcessor, shouldApply: () => true,
      })),
    });
    return [id, plugin];
  }),
);
