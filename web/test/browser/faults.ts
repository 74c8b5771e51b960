// A server that is gone, full or failing.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { badge, banner, browser, openSession, outputHas, outputIs, prompt, run, server, signedIn } from "./fixture.js";
import { holds, open, screenshots, signIn, violations } from "./page.js";
import { Server } from "./server.js";

test("a server that is killed is said to be gone; all goes on when it is back", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await run(page, "for i in $(seq 1 60); do echo line $i; sleep 0.1; done");
  await holds(page, outputHas("line 5\n"));
  await server.kill();
  await banner(page).getByText("The server does not answer").waitFor();
  await page.screenshot({ path: path.join(screenshots, "lost-server.png") });
  assert.deepEqual(await violations(page), []);
  await server.start();
  await banner(page).getByText("The server answers again.").waitFor();
  await badge(page, "exit 0").waitFor();
  await holds(page, outputIs(Array.from({ length: 60 }, (_, index) => `line ${index + 1}\n`).join("")));
  await page.goto(`${server.url}/#/`);
  await page.getByRole("list", { name: "Sessions" }).waitFor();
  await server.kill();
  await banner(page).getByText("The server does not answer").waitFor();
  await server.start();
  await banner(page).getByText("The server answers again.").waitFor();
  await tab.close();
});

test("a command that is sent to a lost server is kept, and runs once", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await server.kill();
  await prompt(page).fill("echo once >> /tmp/log; cat /tmp/log");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("Sending again has the effect only once.").waitFor();
  await server.start();
  await banner(page).getByText("The server answers again.").waitFor();
  await prompt(page).press("Enter");
  await badge(page, "exit 0").waitFor();
  await holds(page, outputIs("once\n"));
  await tab.close();
});

test("a server without room refuses a session with the reason, and starts it when there is room", async () => {
  const full = new Server(["--quota", "8", "--memory-budget", "768"]);
  await full.start();
  try {
    const first = await full.session({ ttlSeconds: 600 });
    const tab = await open(browser, full.url);
    const { page } = tab;
    await signIn(page, full.url, full.token);
    await page.getByRole("button", { name: "New session" }).click();
    await page.getByRole("button", { name: "Start session" }).click();
    await page.getByRole("alert").getByText("use all memory, disk or processes").waitFor();
    await page.screenshot({ path: path.join(screenshots, "full-server.png") });
    assert.deepEqual(await violations(page), []);
    await page.getByRole("button", { name: "Start it when there is room" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByText("waits, position 1").waitFor();
    await full.api("POST", "/shell/stop", { sessionId: first });
    const row = page.getByRole("list", { name: "Sessions" }).getByRole("listitem").first();
    await row.locator(".badge", { hasText: "ready" }).waitFor();
    await tab.close();
  } finally {
    await full.clear();
  }
});

test("root runs where the server allows it, and the quota says when it is used up", async () => {
  const small = new Server(["--quota", "1", "--root", "allow"]);
  await small.start();
  try {
    const id = await small.session({ ttlSeconds: 600 });
    const tab = await open(browser, small.url);
    const { page } = tab;
    await signIn(page, small.url, small.token);
    await page.getByText("1 of 1 active").waitFor();
    await page.getByRole("button", { name: "New session" }).click();
    await page.getByRole("button", { name: "Start session" }).click();
    await page.getByRole("alert").getByText("1 sessions are active, which is the limit").waitFor();
    await page.keyboard.press("Escape");
    await openSession(page, id, small.url);
    await page.getByText("Options").click();
    await page.getByLabel("User").fill("root");
    await run(page, "id -u");
    await badge(page, "exit 0").waitFor();
    await holds(page, outputIs("0\n"));
    await tab.close();
  } finally {
    await small.clear();
  }
});

/** Lets the API answer requests to `pattern` with a problem until the returned function is called. */
async function failing(page: Page, pattern: string, problem: Record<string, unknown>): Promise<() => Promise<void>> {
  const reply = { type: "about:blank", retryable: true, requestId: "req_1", ...problem };
  await page.route(pattern, (route) =>
    route.fulfill({
      status: Number(problem.status),
      headers: { "retry-after": "30" },
      contentType: "application/problem+json",
      body: JSON.stringify(reply),
    }),
  );
  return () => page.unroute(pattern);
}

test("a full disk is an error of the start, and another try succeeds when it is over", async () => {
  const tab = await signedIn();
  const { page } = tab;
  const detail = "the disk of this server is almost full: only stops and cancellations are accepted";
  const mend = await failing(page, "**/v1/shell/start", { status: 507, title: "Insufficient storage", code: "insufficient_storage", detail });
  await page.getByRole("button", { name: "New session" }).click();
  await page.getByRole("button", { name: "Start session" }).click();
  await page.getByRole("alert").getByText(`${detail}. Try again in 30 s.`).waitFor();
  await mend();
  await page.getByRole("button", { name: "Start session" }).click();
  await page.getByRole("list", { name: "Sessions" }).locator(".badge", { hasText: "ready" }).waitFor();
  await tab.close();
});

test("pages that are being read, and pages that can't be read, say so", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  for (const look of ["light", "dark"] as const) {
    const tab = await signedIn({ colorScheme: look });
    const { page } = tab;
    let release = () => undefined as void;
    const released = new Promise<void>((resolve) => (release = resolve));
    await page.route("**/v1/sessions/*", (route) => released.then(() => route.continue()));
    await page.goto(`${server.url}/#/sessions/${id}`);
    await page.getByText("Reading the session").waitFor({ state: "attached" });
    await page.screenshot({ path: path.join(screenshots, `loading-${look}.png`) });
    assert.deepEqual(await violations(page), []);
    release();
    await prompt(page).waitFor();
    await page.unroute("**/v1/sessions/*");
    const mend = await failing(page, "**/v1/sessions?*", {
      status: 503, title: "Service unavailable", code: "unavailable", detail: "a backend is unavailable; retry",
    });
    await page.goto(`${server.url}/#/`);
    await page.getByRole("alert").getByText("a backend is unavailable").waitFor();
    await page.screenshot({ path: path.join(screenshots, `error-${look}.png`) });
    assert.deepEqual(await violations(page), []);
    await mend();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("list", { name: "Sessions" }).waitFor();
    await tab.close();
  }
});
