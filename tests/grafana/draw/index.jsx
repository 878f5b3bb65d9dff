// A dashboard file, drawn by Grafana's own libraries: variables, transformations, units, thresholds, links and the grid are
// theirs. What Grafana keeps in its server's pages (this mapping from JSON, the data source) stands here in own code.
import * as GD from "@grafana/data";
import { initPluginTranslations } from "@grafana/i18n";
import * as runtime from "@grafana/runtime";
import * as S from "@grafana/scenes";
import { GlobalStyles } from "@grafana/ui";
import React from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router-dom";
import { of } from "rxjs";
import { plugins } from "./panels.jsx";
import { Prometheus, runRequest } from "./prometheus.js";

let parameters;
window.faults = [];
window.addEventListener("error", (event) => window.faults.push(String(event.message)));
window.addEventListener("unhandledrejection", (event) => window.faults.push(String(event.reason)));
let scene;

function registries() {
  const transformers = new Map(Object.values(GD.standardTransformers).map((each) => [each.id, each]));
  GD.standardTransformersRegistry.setInit(() => [...transformers.values()].map((each) => ({
    id: each.id, name: each.name, description: "", editor: () => null, transformation: async () => each,
  })));
  GD.standardEditorsRegistry.setInit(() => []);
  const process = {
    unit: GD.unitOverrideProcessor, min: GD.numberOverrideProcessor, max: GD.numberOverrideProcessor, decimals: GD.numberOverrideProcessor,
    displayName: GD.displayNameOverrideProcessor, noValue: GD.stringOverrideProcessor, links: GD.dataLinksOverrideProcessor,
    mappings: GD.valueMappingsOverrideProcessor, thresholds: GD.thresholdsOverrideProcessor, color: GD.identityOverrideProcessor,
    actions: GD.identityOverrideProcessor, filterable: GD.identityOverrideProcessor, fieldMinMax: GD.identityOverrideProcessor,
  };
  GD.standardFieldConfigEditorRegistry.setInit(() => Object.entries(process).map(([id, each]) => ({
    id, path: id, name: id, editor: () => null, override: () => null, process: each, shouldApply: () => true, getItemsCount: () => 0,
  })));
}

/** The scene object that an interpolation is for: a panel knows more variables than the dashboard. */
function sceneOf(scoped) {
  const held = scoped?.__sceneObject?.value;
  return held?.valueOf?.() ?? held ?? scene;
}

const replace = (text, scoped, format) => (text == null ? "" : S.sceneGraph.interpolate(sceneOf(scoped), text, scoped, format));

function services() {
  runtime.setTemplateSrv({ replace, containsTemplate: (text) => /\$/.test(text ?? ""), getVariables: () => [], getAdhocFilters: () => [], updateTimeRange() {} });
  runtime.setRunRequest(runRequest);
  runtime.setPluginImportUtils({ importPanelPlugin: async (id) => plugins[id], getPanelPluginFromCache: (id) => plugins[id] });
  runtime.setPluginLinksHook?.(() => ({ links: [], isLoading: false }));
  runtime.setPluginComponentsHook?.(() => ({ components: [], isLoading: false }));
  runtime.setBackendSrv?.({ fetch: () => of({ data: {} }), get: async () => ({}), post: async () => ({}) });
  runtime.setEchoSrv?.({ addEvent() {}, addBackend() {}, flush() {} });
  for (const [pluginId, plugin] of Object.entries(plugins)) S.sceneUtils.registerRuntimePanelPlugin({ pluginId, plugin });
}

function dataSources(settings) {
  const sources = settings.map((each) => Object.assign(new Prometheus(each, replace), { meta: each.meta }));
  const find = (ref, scoped) => {
    const uid = replace(typeof ref === "string" ? ref : ref?.uid, scoped);
    return sources.find((each) => !uid || each.uid === uid || each.name === uid);
  };
  runtime.setDataSourceSrv({
    get: async (ref, scoped) => find(ref, scoped) ?? Promise.reject(new Error(`no data source ${JSON.stringify(ref)}`)),
    getInstanceSettings: (ref, scoped) => { const found = find(ref, scoped); return found && { ...settings[sources.indexOf(found)], rawRef: ref }; },
    getList: (filter) => settings.filter((each) => !filter?.pluginId || each.type === filter.pluginId),
    reload() {}, registerRuntimeDataSource() {},
  });
}

function variable(model) {
  const { name, label, hide, description, query } = model;
  const base = { name, label, hide, description };
  const choice = { includeAll: model.includeAll, isMulti: model.multi };
  if (model.type === "datasource") return new S.DataSourceVariable({ ...base, pluginId: query, ...choice });
  if (model.type === "custom") return new S.CustomVariable({ ...base, query, value: model.current.value, text: model.current.text, ...choice });
  if (model.type === "adhoc") return new S.AdHocFiltersVariable({ ...base, datasource: model.datasource, filters: [], applyMode: "auto", layout: "combobox" });
  return new S.QueryVariable({
    ...base, ...choice, query, datasource: model.datasource, sort: model.sort, refresh: model.refresh, regex: model.regex ?? "",
    allValue: model.allValue, value: model.current?.value ?? "", text: model.current?.text ?? "",
  });
}

/** A panel's own time range: Grafana takes it only where the dashboard's is relative, as `now-6h`. */
function ownRange(model) {
  if (!model.timeFrom || !String(parameters.get("from") ?? "now").startsWith("now")) return undefined;
  const range = new S.SceneTimeRange({ from: "now-30d", to: "now" });
  range.addActivationHandler(() => {
    const from = () => range.setState({ from: `now-${S.sceneGraph.interpolate(range, model.timeFrom)}` });
    const days = S.sceneGraph.lookupVariable("days", range);
    const watched = days?.subscribeToState(() => { from(); range.onRefresh(); });
    from();
    return () => watched?.unsubscribe();
  });
  return range;
}

function panel(model) {
  const queries = new S.SceneQueryRunner({ datasource: model.datasource, queries: model.targets ?? [], dataLayerFilter: { panelId: model.id } });
  return new S.VizPanel({
    key: `panel-${model.id}`, title: model.title, description: model.description, pluginId: model.type, options: model.options ?? {},
    fieldConfig: model.fieldConfig ?? { defaults: {}, overrides: [] }, $timeRange: ownRange(model),
    $data: new S.SceneDataTransformer({ transformations: model.transformations ?? [], $data: queries }),
  });
}

function item(model) {
  const { x, y, w: width, h: height } = model.gridPos;
  return new S.SceneGridItem({ x, y, width, height, body: panel(model) });
}

function grid(panels) {
  const rows = [];
  for (const model of panels) {
    if (model.type !== "row") rows.at(-1).children.push(item(model));
    else rows.push({ title: model.title, y: model.gridPos.y, isCollapsed: !!model.collapsed, children: (model.panels ?? []).map(item) });
  }
  return new S.SceneGridLayout({ children: rows.map((row) => new S.SceneGridRow(row)) });
}

function dashboard(board) {
  const layers = (board.annotations?.list ?? []).map((each) => new S.dataLayers.AnnotationsDataLayer({ name: each.name, isEnabled: each.enable, isHidden: !!each.hide, query: each }));
  return new S.EmbeddedScene({
    $timeRange: new S.SceneTimeRange({ from: board.time.from, to: board.time.to, timeZone: "utc" }),
    $variables: new S.SceneVariableSet({ variables: (board.templating?.list ?? []).map(variable) }),
    $data: new S.SceneDataLayerSet({ layers }),
    $behaviors: [new S.behaviors.CursorSync({ sync: board.graphTooltip })],
    controls: [new S.VariableValueSelectors({}), new S.SceneDataLayerControls(), new S.SceneControlsSpacer(), new S.SceneTimePicker({})],
    body: grid(board.panels),
  });
}

/** A dashboard's links, which Grafana draws in its own page. */
function Links({ board }) {
  const [, again] = React.useReducer((count) => count + 1, 0);
  React.useEffect(() => { const timer = setInterval(again, 300); return () => clearInterval(timer); }, []);
  const address = (link) => {
    const url = S.sceneGraph.interpolate(scene, link.url);
    if (!link.keepTime) return url;
    const { from, to } = S.sceneGraph.getTimeRange(scene).urlSync.getUrlState();
    return `${url}${url.includes("?") ? "&" : "?"}from=${from}&to=${to}`;
  };
  return (
    <nav style={{ padding: "4px 16px", display: "flex", gap: 14 }}>
      <b>{board.title}</b>
      {(board.links ?? []).map((link) => <a key={link.title} href={address(link)} style={{ color: window.theme.colors.text.link }}>{link.title}</a>)}
    </nav>
  );
}

function Page({ board }) {
  return (
    <GD.ThemeContext.Provider value={window.theme}>
      <BrowserRouter>
        <runtime.LocationServiceProvider service={runtime.locationService}>
          <GlobalStyles isExtensionSidebarOpen={false} />
          <div style={{ background: window.theme.colors.background.canvas, minHeight: "100vh", padding: 8 }}>
            <Links board={board} />
            <S.UrlSyncContextProvider scene={scene} updateUrlOnInit={false} createBrowserHistorySteps={false}>
              <scene.Component model={scene} />
            </S.UrlSyncContextProvider>
          </div>
        </runtime.LocationServiceProvider>
      </BrowserRouter>
    </GD.ThemeContext.Provider>
  );
}

/** Every query's state, so that it is known when nothing loads any more. */
window.loading = () => {
  if (!scene) return { runners: 1, open: 0 }; // it could not be made: window.faults says why
  const runners = S.sceneGraph.findAllObjects(scene, (each) => each instanceof S.SceneQueryRunner && each.isActive);
  const states = runners.map((each) => each.state.data?.state ?? "NotStarted");
  return { runners: runners.length, open: states.filter((state) => state !== "Done" && state !== "Error").length };
};
window.chosen = () => Object.fromEntries((scene ? S.sceneGraph.getVariables(scene).state.variables : []).map(({ state }) => [state.name, state.value ?? null]));

const root = createRoot(document.getElementById("root"));
const json = async (address) => (await fetch(address)).json();
let opened = 0;

/** Draw what the address says, in place of what stands there. */
async function show() {
  parameters = new URLSearchParams(location.search);
  window.theme = GD.createTheme({ colors: { mode: parameters.get("theme") === "light" ? "light" : "dark" } });
  Object.assign(runtime.config, { theme2: window.theme, theme: window.theme.v1 });
  const meta = { id: "prometheus", name: "Prometheus", type: "datasource", metrics: true, annotations: true, info: { logos: {} } };
  dataSources((await json("/sources.json")).map((each, i) => ({ ...each, id: i + 1, meta, isDefault: i === 0, access: "proxy" })));
  const board = await json(`/boards/${location.pathname.split("/").at(-1)}.json`);
  scene = dashboard(board);
  root.render(<Page key={++opened} board={board} />);
  window.ready = true;
}

/** Open another address without loading Grafana's libraries again. */
window.openAddress = async (address) => {
  root.render(null);
  Object.assign(window, { ready: false, shown: {}, faults: [] });
  scene = undefined;
  runtime.locationService.push(address);
  await show().catch((error) => window.faults.push(`show: ${error.stack}`));
};

async function main() {
  await initPluginTranslations("slotel");
  Object.assign(runtime.config, { panels: {}, bootData: { user: {}, settings: {}, navTree: [] } });
  for (const [id, plugin] of Object.entries(plugins)) runtime.config.panels[id] = plugin.meta;
  registries();
  services();
  await show();
}
main().catch((error) => window.faults.push(`main: ${error.stack}`));
