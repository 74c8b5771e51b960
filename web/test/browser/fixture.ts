// What the browser tests share: one server, one browser, and the steps that many of them take.

import { createServer, type Server as HttpServer } from "node:http";
import { after, afterEach, before } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launch, open, signIn, type Tab } from "./page.js";
import { Server } from "./server.js";

export const server = new Server();
export let browser: Browser;

before(async () => {
  await server.start();
  browser = await launch();
});

// Each test starts with all of its quota.
afterEach(() => server.stopSessions());

after(async () => {
  await browser?.close();
  await server.clear();
});

/** A tab of the user `local`. */
export async function signedIn(options: Parameters<typeof open>[2] = {}): Promise<Tab> {
  const tab = await open(browser, server.url, options);
  await signIn(tab.page, server.url, server.token);
  return tab;
}

export const badge = (page: Page, text: string | RegExp) => page.locator(".page-head .badge", { hasText: text });
export const output = (page: Page) => page.getByRole("region", { name: "Text of the output" });
export const banner = (page: Page) => page.locator(".connection");
export const prompt = (page: Page) => page.getByLabel("Command to run in this session");

/** Runs a command in the session that the page shows. */
export async function run(page: Page, command: string): Promise<void> {
  await prompt(page).fill(command);
  await page.keyboard.press("Enter");
  await output(page).waitFor();
}

export async function openSession(page: Page, id: string, origin = server.url): Promise<void> {
  await page.goto(`${origin}/#/sessions/${id}`);
  await prompt(page).waitFor();
}

/** An expression that holds while the output is this text. */
export const outputIs = (text: string) => `document.querySelector('.output').textContent === ${JSON.stringify(text)}`;

/** An expression that holds while the output contains this text. */
export const outputHas = (text: string) => `document.querySelector('.output').textContent.includes(${JSON.stringify(text)})`;

/** A receiver of webhooks that refuses the first delivery. */
export async function receiver(): Promise<{ url: string; http: HttpServer }> {
  let refused = false;
  const http = createServer((request, response) => {
    request.resume();
    response.writeHead(refused ? 204 : 503).end();
    refused = true;
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const address = http.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `http://127.0.0.1:${address.port}/hook`, http };
}
