// Measures the page: the size of its bundle, and when its first list is shown. Prints both.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { launch } from "./page.js";
import { Server } from "./server.js";

const ROUNDS = 21;
const SESSIONS = 25;

interface Times {
  load: number;
  list: number;
}

/** Bytes of all files of the bundle, each gzipped. */
function bundleSize(): number {
  const dist = path.resolve(import.meta.dirname, "../../dist");
  const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  const contents = files.map((each) => readFileSync(path.join(each.parentPath, each.name)));
  return contents.reduce((sum, each) => sum + gzipSync(each).length, 0);
}

/** Records when the first row of the list is painted. Runs in the page, before its own script. */
function record(token: string): void {
  sessionStorage.setItem("ephemeral.token", token);
  const observer = new MutationObserver(() => {
    if (document.querySelector("li.session-row") === null) return;
    observer.disconnect();
    // The frame that shows the row has been drawn when the next one begins.
    requestAnimationFrame(() => requestAnimationFrame(() => Object.assign(window, { listShown: performance.now() })));
  });
  observer.observe(document, { childList: true, subtree: true });
}

/** Opens the page in a browser profile without a cache. */
async function once(browser: Awaited<ReturnType<typeof launch>>, server: Server): Promise<Times> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.addInitScript(record, server.token);
  await page.goto(server.url, { waitUntil: "load" });
  await page.locator("li.session-row").first().waitFor();
  const times = await page.evaluate(async () => {
    while (!("listShown" in window)) await new Promise((resolve) => requestAnimationFrame(resolve));
    const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
    return { load: navigation?.loadEventStart ?? Number.NaN, list: Number(window.listShown) };
  });
  await context.close();
  return times;
}

function summary(values: number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number) => (sorted[Math.ceil(part * sorted.length) - 1] ?? Number.NaN).toFixed(0);
  return `${at(0.5)} ms (p50), ${at(0.95)} ms (p95)`;
}

const server = new Server(["--quota", String(SESSIONS)]);
await server.start();
const browser = await launch();
try {
  const jobs: string[] = [];
  for (let index = 0; index < SESSIONS; index++) {
    // The host may have no room for all of them at once.
    const body = { command: "true", admission: "queue", metadata: { index: String(index) } };
    const { commandJobId } = await server.api<{ commandJobId: string }>("POST", "/shell/start", body);
    jobs.push(commandJobId);
  }
  for (const job of jobs) await server.api("GET", `/jobs/${job}?waitSeconds=25`);
  await server.stopSessions();
  const rounds: Times[] = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await once(browser, server));
  const size = bundleSize();
  console.log(`T4 bundle: ${(size / 1024).toFixed(1)} KiB gzipped (target: 400 KiB)`);
  console.log(`T4 first list shown after the load event: ${summary(rounds.map(({ list, load }) => list - load))} (target: 300 ms)`);
  console.log(`T4 first list shown after the begin of the navigation: ${summary(rounds.map(({ list }) => list))}`);
  console.log(`   ${ROUNDS} openings without a cache, ${SESSIONS} sessions, on loopback`);
} finally {
  await browser.close();
  await server.clear();
}
