// Drives Debian's Chromium for the tests: one JSON request a line on standard input, one JSON answer a line on
// standard output. Knows nothing of what is tested; e2e/src/browser.rs is the other end.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const LIMIT = 120_000;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox", "--js-flags=--expose-gc"] });
const pages = new Map();

// What a request means by an element: a role with a name, a label, or CSS.
function find({ page }, at) {
  if (at.role) return page.getByRole(at.role, { name: at.name, exact: at.exact ?? false }).first();
  if (at.label) return page.getByLabel(at.label).first();
  return page.locator(at.css).first();
}

const does = {
  async open({ name, options }) {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(LIMIT);
    const page = await context.newPage();
    const seen = { page, troubles: [] };
    page.on("console", (said) => said.type() === "error" && seen.troubles.push(`console: ${said.text()}`));
    page.on("pageerror", (error) => seen.troubles.push(`script: ${error.message}`));
    page.on("requestfailed", (request) => {
      const why = request.failure()?.errorText ?? "";
      if (!why.includes("ERR_ABORTED")) seen.troubles.push(`request: ${request.url()} ${why}`);
    });
    pages.set(name, seen);
  },
  async goto(seen, { path }) { return (await seen.page.goto(path, { waitUntil: "load" }))?.status() ?? 0; },
  async url({ page }) { return page.url(); },
  async click(seen, { at }) { await find(seen, at).click(); },
  async fill(seen, { at, text }) { await find(seen, at).fill(text); },
  async choose(seen, { at, text }) { await find(seen, at).selectOption(text); },
  async press({ page }, { key }) { await page.keyboard.press(key); },
  async type({ page }, { text }) { await page.keyboard.type(text); },
  async text(seen, { at }) { return find(seen, at).innerText(); },
  async count({ page }, { at }) { return page.locator(at.css).count(); },
  // Waits until an element's text holds a pattern.
  async until(seen, { at, pattern, limit }) {
    const element = find(seen, at);
    const wanted = new RegExp(pattern, "i");
    const deadline = Date.now() + limit;
    let last = "(nothing there)";
    for (;;) {
      last = await element.innerText({ timeout: 1_000 }).catch(() => "(nothing there)");
      if (wanted.test(last)) return last;
      if (Date.now() > deadline) throw new Error(`waited in vain for /${pattern}/; there is: ${last.slice(0, 400)}`);
      await seen.page.waitForTimeout(50);
    }
  },
  async focused({ page }) {
    return page.evaluate(() => {
      const on = document.activeElement;
      return on && on !== document.body ? `${on.localName} ${(on.getAttribute("aria-label") ?? on.innerText ?? "").trim() || on.id}` : "";
    });
  },
  async shoot({ page }, { file }) { await page.screenshot({ path: file, fullPage: true, animations: "disabled" }); },
  async axe({ page }) {
    await page.evaluate(axe);
    return page.evaluate(async () => {
      const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
      const found = await globalThis.axe.run(document, { runOnly: { type: "tag", values: tags } });
      return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${v.help}`));
    });
  },
  async eval({ page }, { script }) { return (await page.evaluate(script)) ?? null; },
  // What the page holds once everything that is dropped is gone: bytes of script objects, nodes, listeners.
  async holds({ page }) {
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    await session.detach();
    const of = (name) => metrics.find((metric) => metric.name === name)?.value ?? 0;
    return { bytes: of("JSHeapUsedSize"), nodes: of("Nodes"), listeners: of("JSEventListeners") };
  },
  async troubles(seen) { return seen.troubles.splice(0); },
  async close(seen, { name }) { await seen.page.context().close(); pages.delete(name); },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, act, name, ...rest } = JSON.parse(line);
  try {
    const seen = pages.get(name);
    if (act !== "open" && !seen) throw new Error(`no page ${name} is open`);
    const value = act === "open" ? await does.open({ name, ...rest }) : await does[act](seen, { name, ...rest });
    console.log(JSON.stringify({ id, value: value ?? null }));
  } catch (error) {
    const said = act === "open" ? "" : ` on ${pages.get(name)?.page.url() ?? "no page"}`;
    console.log(JSON.stringify({ id, error: `${act} ${JSON.stringify(rest.at ?? rest)}${said}: ${error.message}` }));
  }
}
await browser.close();
