// Signing in and out, and what a user can see.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, server } from "./fixture.js";
import { open, signIn } from "./page.js";
import { otherOrigin } from "./server.js";

test("the link that `up` prints signs in once, and leaves neither code nor token behind", async () => {
  const { link } = server;
  const tab = await open(browser, server.url);
  const { page } = tab;
  const urls: string[] = [];
  page.on("request", (request) => urls.push(request.url()));
  await page.goto(link);
  await page.getByRole("heading", { name: "No sessions yet" }).waitFor();
  const code = link.split("#code=")[1] ?? "";
  assert.match(code, /^[\w-]{43}$/);
  assert.equal(page.url(), `${server.url}/`);
  assert.ok(urls.length > 3 && urls.every((url) => !url.includes(code) && !url.includes(server.token)), urls.join("\n"));
  assert.equal(await page.evaluate("sessionStorage['ephemeral.token']"), server.token);
  assert.equal(await page.evaluate("Object.values(localStorage).join() + document.cookie"), "");
  const html = await page.content();
  assert.ok(!html.includes(code) && !html.includes(server.token));
  await page.reload();
  await page.getByRole("heading", { name: "No sessions yet" }).waitFor();
  await page.goto("about:blank");
  await page.goBack();
  await page.getByRole("heading", { name: "No sessions yet" }).waitFor();
  assert.equal(page.url(), `${server.url}/`, "going back leads to no code");
  await tab.close();
});

test("a link that was used is refused, and `ephemeral console` prints another one", async () => {
  const link = server.newLink();
  const first = await open(browser, server.url);
  await first.page.goto(link);
  await first.page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  await first.close();
  const second = await open(browser, server.url);
  await second.page.goto(link);
  await second.page.getByText("This link was used before").waitFor();
  await second.page.goto("about:blank");
  await second.page.goto(server.newLink());
  await second.page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  await second.close();
});

test("the server's log and files have neither codes nor what was exchanged for them", async () => {
  const link = server.newLink();
  const tab = await open(browser, server.url);
  await tab.page.goto(link);
  await tab.page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  await tab.close();
  const code = link.split("#code=")[1] ?? "";
  assert.deepEqual(server.filesWith(code), []);
  assert.deepEqual(server.filesWith(server.token), ["token"]);
  assert.ok(!server.printed.includes(code) && !server.printed.includes(server.token), "the output of `up`");
});

test("a wrong token is refused, and signing out ends the access", async () => {
  const tab = await open(browser, server.url);
  const { page } = tab;
  await page.goto(server.url);
  await page.getByLabel("Or paste a token").fill("eph_wrong");
  await page.keyboard.press("Enter");
  await page.getByText("The server does not know this token.").waitFor();
  await page.getByLabel("Or paste a token").fill(server.token);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(await page.evaluate("JSON.stringify(sessionStorage)"), "{}");
  await page.goto(`${server.url}/#/webhooks`);
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await tab.close();
});

test("a second user sees nothing of the first, and a revoked token ends the access", async () => {
  const id = await server.session({ metadata: { secret: "of-the-first" } });
  const { jobId } = await server.api<{ jobId: string }>("POST", "/shell/execute", { sessionId: id, command: "echo first" });
  const tab = await open(browser, server.url);
  const { page } = tab;
  await signIn(page, server.url, server.addUser("bob"));
  await page.getByRole("heading", { name: "No sessions yet" }).waitFor();
  await page.goto(`${server.url}/#/webhooks`);
  await page.getByRole("heading", { name: "No deliveries" }).waitFor();
  await page.goto(`${server.url}/#/sessions/${id}`);
  await page.getByRole("heading", { name: "No such session" }).waitFor();
  await page.goto(`${server.url}/#/jobs/${jobId}`);
  await page.getByRole("heading", { name: "No such job" }).waitFor();
  assert.ok(!(await page.content()).includes("of-the-first"));
  server.revoke("bob");
  await page.goto(`${server.url}/#/`);
  await page.getByText("The server does not accept your token any more.").waitFor();
  await tab.close();
});

test("a page of another origin can neither read the API nor use a code nor frame the console", async () => {
  const link = server.newLink();
  const code = link.split("#code=")[1] ?? "";
  const context = await browser.newContext();
  const page = await context.newPage();
  // Another port of this machine: the same site, but another origin.
  const other = await otherOrigin();
  await page.goto(other.url);
  const attempt = (path: string, init: object) =>
    page.evaluate(
      ([url, options]) => fetch(url as string, options as RequestInit).then((response) => response.status, String),
      [`${server.url}${path}`, init],
    );
  const json = { "content-type": "application/json" };
  const body = JSON.stringify({ code });
  assert.match(String(await attempt("/console/sign-in", { method: "POST", headers: json, body })), /TypeError/);
  // A request that needs no permission arrives, and is refused; its answer can't be read.
  assert.match(String(await attempt("/console/sign-in", { method: "POST", body })), /TypeError/);
  assert.equal(await attempt("/console/sign-in", { method: "POST", body, mode: "no-cors" }), 0);
  const headers = { authorization: `Bearer ${server.token}` };
  assert.match(String(await attempt("/v1/sessions", { headers })), /TypeError/);
  const framed = await page.evaluate((url) => {
    const frame = document.createElement("iframe");
    frame.src = url as string;
    return new Promise((resolve) => {
      frame.onload = () => resolve(frame.contentDocument === null ? "blocked or of another origin" : "readable");
      document.body.append(frame);
    });
  }, server.url);
  assert.equal(framed, "blocked or of another origin");
  const frame = page.frames().find((each) => each !== page.mainFrame());
  assert.equal(await frame?.locator("#app").count(), 0, "the console is not in the frame");
  await context.close();
  other.close();
  // None of that has used the code up.
  const tab = await open(browser, server.url);
  await tab.page.goto(link);
  await tab.page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  await tab.close();
});
