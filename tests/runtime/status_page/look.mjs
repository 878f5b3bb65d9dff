// Looks at a status page in Chromium for a test: node look.mjs <folder with node_modules>
// Reads one JSON command a line from standard input, answers with one JSON line each.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const modules = path.join(path.resolve(process.argv[2]), "node_modules");
const { default: playwright } = await import(pathToFileURL(path.join(modules, "playwright-core/index.js")).href);
const axe = fs.readFileSync(path.join(modules, "axe-core/axe.min.js"), "utf8");
const browser = await playwright.chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
let page;
let said = [];
let asked = [];

async function open({ url, width = 1280, height = 900, theme = "light", javascript = true }) {
  await page?.context().close();
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, javaScriptEnabled: javascript, deviceScaleFactor: Number(process.env.SCALE ?? 1) });
  page = await context.newPage();
  [said, asked] = [[], []];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  const answer = await page.goto(url);
  return { headers: answer.headers() };
}

async function read() {
  const state = await page.evaluate(() => ({
    title: document.title, text: document.body.innerText, live: document.getElementById("live").textContent,
    verdict: document.querySelector(".verdict")?.className ?? "", lost: document.body.classList.contains("lost"),
    tables: [...document.querySelectorAll("table")].map((table) => [table.caption?.textContent ?? "", [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))]),
    cards: [...document.querySelectorAll("article")].map((card) => card.innerText),
    links: [...document.querySelectorAll("main a")].map((link) => [link.textContent, link.href]),
    elements: [...new Set([...document.querySelectorAll("body *")].map((each) => each.localName))],
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    cut: [...document.querySelectorAll(".card .wide")].filter((each) => each.scrollWidth > each.clientWidth + 1).length,
    charts: document.querySelectorAll("polyline").length, open: document.querySelectorAll("details[open]").length,
  }));
  return { ...state, said, asked: [...new Set(asked)], cookies: await page.context().cookies() };
}

async function accessible() {
  // axe is run beside the page: its policy lets no other script in; text in the colour of its ground it only finds odd
  await page.evaluate(() => 0);
  const session = await page.context().newCDPSession(page);
  await session.send("Page.setBypassCSP", { enabled: true });
  await session.send("Runtime.evaluate", { expression: axe });
  const found = await session.send("Runtime.evaluate", { expression: "axe.run(document).then((r) => JSON.stringify([...r.violations, ...r.incomplete.filter((v) => v.nodes.some((n) => n.any.some((c) => c.data?.messageKey === 'equalRatio')))].map((v) => [v.id, v.impact, v.nodes.map((n) => n.html.slice(0, 160))])))", awaitPromise: true });
  return { violations: JSON.parse(found.result.value) };
}

const commands = {
  open, read, accessible,
  picture: async ({ png, full = true }) => void (await page.screenshot({ path: png, fullPage: full })),
  wait: async ({ milliseconds }) => void (await page.waitForTimeout(milliseconds)),
  press: async ({ key }) => { await page.keyboard.press(key); return { focused: await page.evaluate(() => document.activeElement?.id || document.activeElement?.localName) }; },
  evaluate: async ({ script }) => ({ value: await page.evaluate(script) }),
  click: async ({ selector }) => void (await page.click(selector)),
};
console.log(JSON.stringify({ ready: true }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  try {
    console.log(JSON.stringify((await commands[command](rest)) ?? {}));
  } catch (error) {
    console.log(JSON.stringify({ failed: String(error.stack) }));
  }
}
await browser.close();
