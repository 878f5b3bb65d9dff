// Writes a TypeScript file: every generated JSON as a constant of the type that Grafana or Sentry publishes for it.
import fs from 'node:fs';
import path from 'node:path';

const [root, written] = process.argv.slice(2);
const read = (file) => JSON.parse(fs.readFileSync(path.join(root, file), 'utf8'));
const list = (dir) => fs.readdirSync(path.join(root, dir)).map((file) => path.join(dir, file));
const composable = '@grafana/schema/dist/types/raw/composable';
const panels = {
  bargauge: 'BarGauge', gauge: 'Gauge', heatmap: 'Heatmap', nodeGraph: 'NodeGraph', stat: 'Stat', 'state-timeline': 'StateTimeline',
  table: 'Table', text: 'Text', timeseries: 'TimeSeries',
};
const out = [];
let count = 0;
const constant = (type, value) => out.push(`export const c${count++}: ${type} = ${JSON.stringify(value, null, 1)};`);

out.push("import type { Dashboard, DataQuery, VariableModel } from '@grafana/schema';");
out.push("import type * as sentry from '@sentry/api';");
for (const [kind, name] of Object.entries(panels)) {
  out.push(`import type * as ${name} from '${composable}/${kind.replace('-', '').toLowerCase()}/panelcfg/x/${name}PanelCfg_types.gen.d.ts';`);
}
// In JSON an enum is its value; TypeScript takes only the member. Strings that are open stay open.
out.push(`type Plain<T> = T extends string ? (string extends T ? string : \`\${T}\`)
  : T extends number | boolean | null | undefined ? T
  : T extends Array<infer U> ? Array<Plain<U>> : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;`);
// What these types leave out although Grafana reads it, and what its own SDK always writes.
out.push(`type Variable = Plain<VariableModel> & { definition?: string; auto?: boolean; auto_count?: number; auto_min?: string };
type Query = Plain<DataQuery> & { expr: string; range?: boolean; instant?: boolean; format?: 'time_series' | 'table' | 'heatmap';
  legendFormat?: string; editorMode?: 'code'; exemplar?: boolean; interval?: string };
type Annotation = Omit<NonNullable<NonNullable<Plain<Dashboard>['annotations']>['list']>[number], 'target'>
  & { target: Query; titleFormat?: string; tagKeys?: string };
type Board = Omit<Plain<Dashboard>, 'templating' | 'annotations'>
  & { templating?: { list?: Variable[] }; annotations?: { list?: Annotation[] } };
type Options<T> = Partial<Plain<T>> & { footer?: { show: boolean; reducer: string[]; countRows: boolean } };`);

for (const file of list('grafana/dashboards')) {
  const board = read(file);
  constant('Board', board);
  for (const panel of board.panels.filter((one) => one.type !== 'row')) {
    const name = panels[panel.type];
    if (!name) throw new Error(`${file}: no type for a panel of kind ${panel.type}`);
    for (const target of panel.targets ?? []) constant('Query', target);
    if (panel.options) constant(`Options<${name}.Options>`, panel.options);
    const custom = panel.fieldConfig?.defaults?.custom;
    if (custom) constant(`Partial<Plain<${name}.FieldConfig>>`, custom);
  }
}

// Sentry's types are in snake case; its API takes camel case for dashboards and says so.
const snake = (value) => Array.isArray(value) ? value.map(snake) : value && typeof value === 'object'
  ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`), snake(one)]))
  : value;
for (const file of list('sentry/alert-rules')) constant("sentry.DeprecatedCreateAMetricAlertRuleForAnOrganizationData['body']", read(file));
for (const file of list('sentry/issue-rules')) constant("sentry.DeprecatedCreateAnIssueAlertRuleForAProjectData['body']", read(file));
constant("sentry.CreateANewDashboardForAnOrganizationData['body']", snake(read('sentry/dashboard.json')));
for (const request of read('sentry/manifest.json').requests) {
  const place = request.path.replace('{organization}', '{organization_id_or_slug}').replace('{project}', '{project_id_or_slug}');
  constant("Extract<sentry.DeprecatedCreateAMetricAlertRuleForAnOrganizationData | sentry.DeprecatedCreateAnIssueAlertRuleForAProjectData | sentry.CreateANewDashboardForAnOrganizationData, { url: string }>['url']", place);
}
fs.writeFileSync(written, `${out.join('\n')}\n`);
console.log(count);
