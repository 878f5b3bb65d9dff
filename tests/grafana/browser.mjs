// Draws dashboards in Chromium for a test: node browser.mjs <node_modules' folder> <bundle> <boards>
// Reads one JSON command a line from standard input, answers with one JSON line each. Serves on loopback.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const [installed, bundle, boards] = process.argv.slice(2).map((each) => path.resolve(each));
const modules = path.join(installed, "node_modules");
const { default: playwright } = await import(pathToFileURL(path.join(modules, "playwright-core/index.js")).href);
const PAGE = '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/bundle/index.css"><body style="margin:0"><div id="root"></div><script type="module" src="/bundle/index.js"></script>';
const TYPES = { ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml" };
const SERVED = { "/bundle/": bundle, "/boards/": boards, "/public/img/": path.join(modules, "@grafana/ui/dist/public/img") };
let sources = [];

const server = http.createServer((request, answer) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const send = (type, body) => answer.writeHead(200, { "content-type": type, "cache-control": "max-age=600" }).end(body);
  if (pathname === "/sources.json") return answer.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" }).end(JSON.stringify(sources));
  const prefix = Object.keys(SERVED).find((each) => pathname.startsWith(each));
  if (!prefix) return send("text/html", PAGE);
  const file = path.join(SERVED[prefix], path.normalize(pathname.slice(prefix.length)));
  if (!fs.existsSync(file)) return answer.writeHead(404).end();
  return send(TYPES[path.extname(file)] ?? "application/octet-stream", fs.readFileSync(file));
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const origin = `http://127.0.0.1:${server.address().port}`;

const browser = await playwright.chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
const context = await browser.newContext({ deviceScaleFactor: Number(process.env.SCALE ?? 1) });
const page = await context.newPage();
const said = [];
page.on("console", (message) => message.type() === "error" && said.push(message.text().slice(0, 300)));
page.on("pageerror", (error) => said.push(String(error.stack).slice(0, 500)));

/** Wait until the page is there, every query has its answer, and what is shown no longer changes. */
async function settled() {
  await page.waitForFunction(() => window.ready || window.faults?.length, null, { timeout: 60_000 });
  let last = "";
  let same = 0;
  for (const end = Date.now() + 60_000; Date.now() < end && same < 3; ) {
    await page.waitForTimeout(150);
    const now = await page.evaluate(() => JSON.stringify([window.loading(), window.shown, window.chosen(), window.faults]));
    const open = JSON.parse(now)[0];
    same = now === last && open.runners > 0 && open.open === 0 ? same + 1 : 0;
    last = now;
  }
}

/** What a person sees of the legends: names that are cut, or scrolled out of sight. */
function hiddenLegends() {
  const hidden = [];
  for (const item of document.querySelectorAll('[data-testid^="data-testid VizLegend series"]')) {
    const [box, name] = [item.getBoundingClientRect(), item.getAttribute("data-testid").slice("data-testid VizLegend series ".length)];
    if (item.scrollWidth > item.clientWidth + 1) hidden.push(`${name}: cut`);
    for (let parent = item.parentElement; parent && !parent.id; parent = parent.parentElement) {
      const around = parent.getBoundingClientRect();
      const clips = /auto|scroll|hidden/.test(getComputedStyle(parent).overflow + getComputedStyle(parent).overflowY);
      if (clips && around.height > 0 && (box.bottom > around.bottom + 4 || box.right > around.right + 4)) { hidden.push(`${name}: out of sight`); break; }
    }
  }
  return [...new Set(hidden)];
}

async function draw({ path: address, width = 1600, theme = "dark", png }) {
  await page.setViewportSize({ width, height: 4000 });
  said.length = 0;
  const full = `${address}${address.includes("?") ? "&" : "?"}theme=${theme}`;
  if (page.url().startsWith(origin)) await page.evaluate((to) => window.openAddress(to), full);
  else await page.goto(origin + full);
  await settled();
  const state = await page.evaluate(() => ({
    shown: Object.values(window.shown), chosen: window.chosen(), faults: window.faults,
    links: [...document.querySelectorAll("nav a")].map((link) => [link.textContent, link.getAttribute("href")]),
    height: Math.max(...[...document.querySelectorAll(".react-grid-layout, nav")].map((each) => each.getBoundingClientRect().bottom), 0),
  }));
  state.hiddenLegends = await page.evaluate(hiddenLegends);
  const broken = await page.getByText("An unexpected error happened").count();
  if (broken) state.faults.push(`${broken} panels broke: ${said.join(" | ")}`);
  state.said = [...said];
  if (png) {
    await page.setViewportSize({ width, height: Math.ceil(state.height) + 24 });
    await page.waitForTimeout(400);
    await page.screenshot({ path: png });
  }
  return state;
}

async function click({ text }) {
  await page.getByRole("link", { name: text, exact: true }).first().click();
  await page.waitForURL(/\/d\//);
  await settled();
  return page.evaluate(() => ({ url: location.href, shown: Object.values(window.shown), chosen: window.chosen(), faults: window.faults }));
}

const commands = { draw, click, source: async ({ prometheus, settings }) => void (sources = [{ ...settings, url: prometheus }]) };
console.log(JSON.stringify({ origin }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  try {
    console.log(JSON.stringify((await commands[command](rest)) ?? {}));
  } catch (error) {
    console.log(JSON.stringify({ failed: String(error.stack) }));
  }
}
await browser.close();
server.close();
