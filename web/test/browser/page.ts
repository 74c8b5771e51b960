// Pages in a real browser that fail the test when they report an error or ask another origin.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const root = path.resolve(import.meta.dirname, "../../..");
export const screenshots = path.join(root, "target/web/screenshots");
const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const browserProgram = process.env.CHROMIUM ?? CHROMIUM.find((program) => existsSync(program));

export async function launch(): Promise<Browser> {
  mkdirSync(screenshots, { recursive: true });
  // Chromium refuses its own sandbox to root; it opens pages of this repository only.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: browserProgram ?? "chromium", args });
}

export interface Tab {
  page: Page;
  /** What the page reported; `check` fails for all but what the test expects. */
  errors: string[];
  close: () => Promise<void>;
}

const DESKTOP = { viewport: { width: 1280, height: 860 } } as const;

/** Opens a tab with a storage of its own. The page may send requests to `origin` and to `others`. */
export async function open(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
  others: readonly string[] = [],
): Promise<Tab> {
  const context = await browser.newContext({ ...DESKTOP, timezoneId: "UTC", acceptDownloads: true, ...options });
  const page = await context.newPage();
  // Other programs may leave little of the machine to the browser.
  page.setDefaultTimeout(60_000);
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    const isFailedRequest = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isFailedRequest) errors.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:" && ![origin, ...others].includes(url.origin)) errors.push(`a request to ${url.origin}`);
  });
  const close = async () => {
    await context.close();
    assert.deepEqual(errors, []);
  };
  return { page, errors, close };
}

/** Signs in by pasting a token. */
export async function signIn(page: Page, origin: string, token: string): Promise<void> {
  await page.goto(`${origin}/`);
  await page.getByLabel("Or paste a token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
}

/** Waits until an expression holds in the page. The page's policy forbids to leave it there to be polled. */
export async function holds(page: Page, expression: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await page.evaluate(expression))) {
    if (Date.now() > deadline) throw new Error(`it never held: ${expression}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What axe finds wrong with the page as it is now. */
export async function violations(page: Page): Promise<string[]> {
  // An animation that has not ended has colours of its own.
  await page.evaluate(() => Promise.all(document.getAnimations().filter((each) => each.effect?.getComputedTiming().iterations !== Infinity).map((each) => each.finished.catch(() => undefined))));
  return page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] }).then((result) =>
    result.violations.flatMap((each) => each.nodes.map((node) =>
      each.id + ": " + node.target.join(" ") + " " + node.failureSummary)))`);
}
