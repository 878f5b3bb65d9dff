// Stands in for Grafana's Prometheus data source, which is no library: after its documentation, in own code.
import { DataSourceApi, DataTopic, FieldType, LoadingState, createDataFrame, rangeUtil } from "@grafana/data";
import { parser } from "@prometheus-io/lezer-promql";
import { from, of } from "rxjs";

const number = (text) => ({ "+Inf": Infinity, "-Inf": -Infinity })[text] ?? Number.parseFloat(text);
const escapeRegex = (text) => String(text).replace(/[\\^$*+?.()|[\]{}]/g, "\\\\$&");

/** How a variable's value stands in a query: a choice of several is a regular expression. */
function inQuery(value, variable) {
  if (!variable?.multi && !variable?.includeAll) return String(value).replace(/\\/g, "\\\\").replace(/"/g, '\\"');
  if (typeof value === "string") return escapeRegex(value);
  const escaped = value.map(escapeRegex);
  return escaped.length === 1 ? escaped[0] : `(${escaped.join("|")})`;
}

/** Add ad hoc filters to every selector of a query. */
function filtered(expr, filters = []) {
  if (!filters.length) return expr;
  const matchers = filters.map((one) => `${one.key}${one.operator}${JSON.stringify(one.value)}`).join(",");
  const edits = [];
  parser.parse(expr).iterate({
    enter({ name, node }) {
      if (name !== "VectorSelector") return;
      const braces = node.getChild("LabelMatchers");
      if (!braces) return void edits.push([node.to, `{${matchers}}`]);
      const inner = expr.slice(braces.from + 1, braces.to - 1).trim();
      edits.push([braces.to - 1, (inner && !inner.endsWith(",") ? "," : "") + matchers]);
    },
  });
  return edits.sort((a, b) => b[0] - a[0]).reduce((text, [at, put]) => text.slice(0, at) + put + text.slice(at), expr);
}

const filledIn = (format, labels) => format.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, label) => labels[label] ?? "");

function nameOf(series, target, interpolated) {
  const { __name__: metric = "", ...labels } = series.metric;
  if (interpolated && interpolated !== "__auto") return filledIn(interpolated, series.metric);
  const listed = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  return listed.length ? `${metric}{${listed.join(", ")}}` : metric || target.expr;
}

function asSeries(found, target, step, legend) {
  return found.map((series) => {
    const points = series.values ?? [series.value];
    const { __name__, ...labels } = series.metric;
    return createDataFrame({
      refId: target.refId,
      meta: { type: "timeseries-multi" },
      fields: [
        { name: "Time", type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval: step * 1000 } },
        { name: "Value", type: FieldType.number, labels, values: points.map(([, value]) => number(value)),
          config: { displayNameFromDS: nameOf(series, target, legend) } },
      ],
    });
  });
}

function asTable(found, target, tables) {
  const labels = [...new Set(found.flatMap((series) => Object.keys(series.metric)))].sort();
  const fields = [
    { name: "Time", type: FieldType.time, values: found.map((series) => series.value[0] * 1000), config: {} },
    ...labels.map((label) => ({ name: label, type: FieldType.string, values: found.map((s) => s.metric[label] ?? ""), config: {} })),
    { name: tables > 1 ? `Value #${target.refId}` : "Value", type: FieldType.number, values: found.map((s) => number(s.value[1])), config: {} },
  ];
  return createDataFrame({ refId: target.refId, fields: found.length ? fields : [] });
}

function asHeatmap(found, target) {
  const buckets = found.map((s) => ({ le: number(s.metric.le), text: s.metric.le, at: new Map(s.values.map(([t, v]) => [t, number(v)])) }));
  buckets.sort((a, b) => a.le - b.le);
  const times = [...new Set(buckets.flatMap((bucket) => [...bucket.at.keys()]))].sort((a, b) => a - b);
  const fields = buckets.map((bucket, i) => ({
    name: bucket.text, type: FieldType.number, config: {},
    values: times.map((t) => Math.max(0, (bucket.at.get(t) ?? 0) - (i ? buckets[i - 1].at.get(t) ?? 0 : 0))),
  }));
  if (!fields.length) return [];
  return [createDataFrame({ refId: target.refId, fields: [{ name: "Time", type: FieldType.time, values: times.map((t) => t * 1000), config: {} }, ...fields] })];
}

export class Prometheus extends DataSourceApi {
  constructor(settings, replace) {
    super(settings);
    this.base = settings.url;
    this.replace = replace;
    this.scrape = settings.jsonData.timeInterval;
    this.traces = settings.jsonData.exemplarTraceIdDestinations ?? [];
  }

  async ask(path, parameters) {
    const body = new URLSearchParams(parameters);
    const post = !path.startsWith("label/");
    const answer = await fetch(`${this.base}/api/v1/${path}${post ? "" : `?${body}`}`, post ? { method: "POST", body } : {});
    const json = await answer.json();
    if (json.status !== "success") throw new Error(`${parameters.query ?? path}: ${json.error}`);
    return json.data;
  }

  times(range, interval, lowest) {
    const [start, end] = [range.from.valueOf() / 1000, range.to.valueOf() / 1000];
    const scrape = rangeUtil.intervalToSeconds(this.scrape);
    const step = Math.max(rangeUtil.intervalToSeconds(interval || "15s"), lowest ? rangeUtil.intervalToSeconds(lowest) : scrape);
    const seconds = Math.round(end - start);
    const macros = { __interval: step, __rate_interval: Math.max(step + scrape, 4 * scrape), __range: seconds };
    const scoped = Object.fromEntries(Object.entries(macros).map(([name, value]) => [name, { text: `${value}s`, value: `${value}s` }]));
    return { step, start: Math.floor(start / step) * step, end: Math.floor(end / step) * step, last: end, scoped };
  }

  query(request) {
    return from(this.answer(request));
  }

  async answer(request) {
    const targets = request.targets.filter((target) => target.expr && !target.hide);
    const tables = targets.filter((target) => target.format === "table").length;
    const data = [];
    for (const target of targets) {
      const { step, start, end, last, scoped } = this.times(request.range, request.interval, target.interval);
      const known = { ...request.scopedVars, ...scoped };
      const query = filtered(this.replace(target.expr, known, inQuery), request.filters);
      const asked = target.instant ? ["query", { query, time: last }] : ["query_range", { query, start, end, step }];
      const found = (await this.ask(...asked)).result;
      if (target.format === "table") data.push(asTable(found, target, tables));
      else if (target.format === "heatmap") data.push(...asHeatmap(found, target));
      else data.push(...asSeries(found, { ...target, expr: query }, step, this.replace(target.legendFormat ?? "", known)));
      if (target.exemplar) data.push(...(await this.exemplars(query, start, end, target)));
    }
    return { data };
  }

  async exemplars(query, start, end, target) {
    const found = await this.ask("query_exemplars", { query, start, end });
    const rows = found.flatMap((one) => one.exemplars.map((each) => ({ ...each.labels, Time: each.timestamp * 1000, Value: number(each.value) })));
    if (!rows.length) return [];
    const fields = Object.keys(rows[0]).map((name) => {
      const trace = this.traces.find((one) => one.name === name);
      const links = trace ? [{ title: trace.urlDisplayLabel, url: trace.url, targetBlank: true }] : [];
      const type = name === "Time" ? FieldType.time : name === "Value" ? FieldType.number : FieldType.string;
      return { name, type, values: rows.map((row) => row[name]), config: { links } };
    });
    return [createDataFrame({ refId: target.refId, name: "exemplar", meta: { dataTopic: DataTopic.Annotations }, fields })];
  }

  async metricFindQuery(asked, { range }) {
    const { scoped, last } = this.times(range);
    const query = this.replace(asked.query ?? asked, scoped, inQuery);
    const labels = /^label_values\((?:(.+),\s*)?(\w+)\)$/.exec(query);
    if (labels) {
      const matched = labels[1] ? { "match[]": labels[1] } : {};
      const values = await this.ask(`label/${labels[2]}/values`, { ...matched, start: range.from.valueOf() / 1000, end: last });
      return values.map((text) => ({ text }));
    }
    const result = /^query_result\((.+)\)$/s.exec(query);
    const found = await this.ask("query", { query: result[1], time: last });
    return found.result.map(({ metric: { __name__ = "", ...rest }, value }) => {
      const listed = Object.entries(rest).map(([key, each]) => `${key}="${each}"`);
      return { text: `${__name__}{${listed.join(",")}} ${value[1]} ${value[0] * 1000}` };
    });
  }

  async getTagKeys() {
    return (await this.ask("labels", {})).map((text) => ({ text }));
  }

  async getTagValues({ key }) {
    return (await this.ask(`label/${key}/values`, {})).map((text) => ({ text }));
  }

  getRef() {
    return { type: "prometheus", uid: this.uid };
  }

  annotations = {
    prepareAnnotation: (annotation) => annotation,
    prepareQuery: (annotation) => ({ refId: annotation.name, ...annotation.target }),
    processEvents: (annotation, frames) => of(frames.flatMap((frame) => events(annotation, frame))),
  };
}

/** Times at which a series is above 0; those that follow each other are one event. */
function events(annotation, { fields: [time, value] }) {
  const made = [];
  time.values.forEach((at, i) => {
    if (!(value.values[i] > 0)) return;
    const open = made.at(-1);
    if (open && at - open.timeEnd <= 2 * (time.config.interval ?? 60_000)) return void (open.timeEnd = at);
    made.push({ time: at, timeEnd: at, title: filledIn(annotation.titleFormat ?? "", value.labels ?? {}), color: annotation.iconColor });
  });
  return made;
}

/** What Grafana does around a data source's answer: states, errors, exemplars apart. */
export function runRequest(source, request) {
  return from(
    source.answer(request).then(
      ({ data }) => {
        const isMark = (frame) => frame.meta?.dataTopic === DataTopic.Annotations;
        const [series, annotations] = [data.filter((frame) => !isMark(frame)), data.filter(isMark)];
        return { state: LoadingState.Done, series, annotations, timeRange: request.range, request };
      },
      (error) => ({ state: LoadingState.Error, series: [], errors: [{ message: String(error) }], timeRange: request.range, request }),
    ),
  );
}
