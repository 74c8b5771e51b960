// The console of a deployment: signing in at an issuer, and what differs from one machine.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { Page } from "playwright-core";
import { Deployment } from "./deployment.js";
import { badge, browser, openSession, outputIs, run, server } from "./fixture.js";
import { Issuer } from "./issuer.js";
import { holds, open, screenshots, violations, type Tab } from "./page.js";
import { openTerminal, shows, status, type } from "./terminal-page.js";

const issuer = new Issuer();
const deployment = new Deployment(server, issuer);

before(async () => {
  await issuer.start();
  await deployment.start();
});
beforeEach(() => {
  issuer.lifetime = 3600;
  issuer.isDenied = false;
  deployment.requested.length = 0;
});
after(() => {
  deployment.close();
  issuer.close();
});

const opened = (options = {}): Promise<Tab> => open(browser, deployment.url, options, [issuer.url, issuer.pages]);
const signInButton = (page: Page) => page.getByRole("button", { name: "Sign in" });
const continueLink = (page: Page) => page.getByRole("link", { name: "Continue as ann" });

/** A tab whose user has signed in; `fragment` names the page that it shows. */
async function signedIn(fragment = "#/"): Promise<Tab> {
  const tab = await opened();
  await tab.page.goto(`${deployment.url}/${fragment}`);
  await signInButton(tab.page).click();
  await continueLink(tab.page).click();
  await tab.page.getByRole("button", { name: "Sign out" }).waitFor();
  return tab;
}

test("signing in at the issuer leads back to the page, and leaves neither code nor token in an address", async () => {
  const tab = await opened();
  const { page } = tab;
  const urls: string[] = [];
  page.on("request", (request) => urls.push(request.url()));
  await page.goto(`${deployment.url}/#/webhooks`);
  await signInButton(page).waitFor();
  await page.screenshot({ path: path.join(screenshots, "sign-in-issuer.png") });
  assert.deepEqual(await violations(page), []);
  assert.deepEqual(deployment.requested, []);
  await signInButton(page).click();
  await continueLink(page).click();
  await page.getByRole("heading", { name: "Webhooks" }).waitFor();
  assert.equal(page.url(), `${deployment.url}/#/webhooks`);
  const [code = ""] = issuer.issued.codes.slice(-1);
  const [accessToken = "", refreshToken = ""] = issuer.issued.tokens.slice(-2);
  assert.equal(await page.evaluate("sessionStorage['ephemeral.token']"), accessToken);
  assert.equal(await page.evaluate("Object.values(localStorage).join() + document.cookie"), "");
  assert.ok(!(await page.content()).includes(accessToken));
  await page.reload();
  await page.getByRole("heading", { name: "Webhooks" }).waitFor();
  await page.goBack();
  await continueLink(page).waitFor();
  await page.goForward();
  await page.getByRole("heading", { name: "Webhooks" }).waitFor();
  assert.equal(page.url(), `${deployment.url}/#/webhooks`, "going forward leads to no code");
  assert.ok(urls.every((url) => !url.includes(accessToken) && !url.includes(refreshToken)), urls.join("\n"));
  assert.equal(urls.filter((url) => url.includes(code)).length, 1, "only the request that led back has the code");
  await tab.close();
});

test("each answer of the distribution has the headers of the template", async () => {
  const expected = deployment.headers();
  const page = await fetch(`${deployment.url}/`);
  const script = /src="([^"]+)"/.exec(await page.text())?.[1] ?? "";
  for (const [name, cached] of [["/", "no-cache"], ["/config.json", "no-cache"], [script, "public, max-age=31536000, immutable"], ["/v1/quota", null]] as const) {
    const { headers } = await fetch(deployment.url + name);
    for (const [header, value] of Object.entries(expected)) assert.equal(headers.get(header), value, `${header} of ${name}`);
    if (cached !== null) assert.equal(headers.get("cache-control"), cached, name);
  }
});

test("a command is followed without streams, and a terminal is at its own origin", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id, deployment.url);
  await openTerminal(page);
  await type(page, "echo $((6*7)) from $(tty)");
  await holds(page, shows("42 from /dev/pts/"));
  await run(page, "echo one; sleep 1; echo two >&2; echo three");
  await badge(page, "exit 0").waitFor();
  await holds(page, outputIs("one\nthree\ntwo\n"));
  assert.ok(deployment.requested.some((target) => target.endsWith("/stream")));
  assert.ok(deployment.requested.some((target) => target.includes("/output?stream=stdout")));
  await tab.close();
});

test("a terminal whose connection is cut amid input and output goes on where it was", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id, deployment.url);
  await openTerminal(page);
  await type(page, "clear; stty -echo; for i in $(seq 1 60); do printf '<%s' $i; sleep 0.05; done; read -r x; echo \"<$x\"");
  await holds(page, shows("<9"));
  await type(page, "typed");
  deployment.cutChannels();
  await status(page).getByText("The connection was lost.").waitFor();
  deployment.mendChannels();
  await status(page).getByText("Connected").waitFor();
  const numbers = Array.from({ length: 60 }, (_, index) => `<${index + 1}`).join("");
  // Nothing is missing, and nothing is there twice. The line is longer than the window is wide.
  const text = `document.querySelector('.xterm-rows').innerText.replaceAll(/\\s/g, '')`;
  await holds(page, `${text}.startsWith('${numbers}<typed')`);
  const { data } = await server.api<{ data: { type: string }[] }>("GET", `/sessions/${id}/events?limit=100`);
  assert.equal(data.filter((event) => event.type === "terminal_attached").length, 1, "it was resumed, not opened again");
  // The browser reports the connections that failed.
  tab.errors.splice(0, tab.errors.length, ...tab.errors.filter((error) => !error.includes("WebSocket connection")));
  await tab.close();
});

test("a token is renewed while the page is used, which goes on as it is", async () => {
  issuer.lifetime = 4;
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id, deployment.url);
  await openTerminal(page);
  await type(page, "NAME=kept");
  await page.evaluate("document.querySelector('.xterm').dataset.mark = 'same'");
  const before = issuer.renewals;
  const first = await page.evaluate("sessionStorage['ephemeral.token']");
  await holds(page, `sessionStorage['ephemeral.token'] !== ${JSON.stringify(first)}`);
  const second = await page.evaluate("sessionStorage['ephemeral.token']");
  await holds(page, `sessionStorage['ephemeral.token'] !== ${JSON.stringify(second)}`);
  assert.ok(issuer.renewals >= before + 2);
  await status(page).getByText("Connected").waitFor();
  await type(page, "echo still $NAME");
  await holds(page, shows("still kept"));
  assert.equal(await page.evaluate("document.querySelector('.xterm').dataset.mark"), "same", "the terminal was not opened again");
  await tab.close();
});

test("a sign-in that the issuer has ended is said, and a new one leads back to the page", async () => {
  issuer.lifetime = 2;
  const tab = await signedIn("#/webhooks");
  const { page } = tab;
  issuer.forgetUsers();
  await page.getByText("Your sign-in has ended. Sign in again.").waitFor();
  assert.equal(await page.evaluate("JSON.stringify(sessionStorage)"), "{}");
  issuer.lifetime = 3600;
  await signInButton(page).click();
  await continueLink(page).click();
  await page.getByRole("heading", { name: "Webhooks" }).waitFor();
  await tab.close();
});

test("a sign-in that was denied, or that this tab has not begun, signs nobody in", async () => {
  const tab = await opened();
  const { page } = tab;
  await page.goto(deployment.url);
  issuer.isDenied = true;
  await signInButton(page).click();
  await continueLink(page).click();
  await page.getByText("the issuer says access_denied").waitFor();
  assert.equal(page.url(), `${deployment.url}/`);
  await page.goto(`${deployment.url}/?code=of-an-attacker&state=x`);
  await page.getByText("it was not begun in this tab").waitFor();
  assert.equal(page.url(), `${deployment.url}/`);
  assert.deepEqual(deployment.requested, []);
  await tab.close();
});

test("signing out ends the sign-in here and at the issuer", async () => {
  const tab = await signedIn();
  const { page } = tab;
  const before = issuer.refreshTokens;
  const left = page.waitForRequest((request) => request.url().startsWith(`${issuer.pages}/end`));
  await page.getByRole("button", { name: "Sign out" }).click();
  await left;
  await signInButton(page).waitFor();
  assert.equal(page.url(), `${deployment.url}/`);
  assert.equal(await page.evaluate("JSON.stringify(sessionStorage)"), "{}");
  assert.equal(issuer.refreshTokens, before - 1);
  await tab.close();
});

test("the page connects to the API, the issuer and terminals only, and no other page reads the API", async () => {
  const tab = await signedIn();
  const { page } = tab;
  const attempt = (url: string) => page.evaluate((to) => fetch(to).then((response) => response.status, String), url);
  assert.equal(await attempt(`${issuer.url}/.well-known/openid-configuration`), 200);
  // The server's own address: another origin, which the template does not name.
  assert.match(String(await attempt(`${server.url}/v1/quota`)), /TypeError/);
  const isBlocked = (text: string) => text.includes("Content Security Policy");
  assert.ok(tab.errors.some(isBlocked), tab.errors.join("\n"));
  const token = await page.evaluate("sessionStorage['ephemeral.token']");
  tab.errors.splice(0, tab.errors.length, ...tab.errors.filter((error) => !isBlocked(error) && !error.includes(server.url)));
  await tab.close();
  const context = await browser.newContext();
  const other = await context.newPage();
  await other.goto(`${issuer.pages}/authorize`);
  const headers = { authorization: `Bearer ${String(token)}` };
  const read = await other.evaluate(
    ([url, init]) => fetch(url as string, init as RequestInit).then((response) => response.status, String),
    [`${deployment.url}/v1/quota`, { headers }] as const,
  );
  assert.match(String(read), /TypeError/);
  await context.close();
});
