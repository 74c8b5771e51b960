import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { holds, launch, open, screenshots, signIn, violations, type Tab } from "./page.js";
import { Server } from "./server.js";

const server = new Server();
let browser: Browser;

before(async () => {
  await server.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server.clear();
});

/** A tab of the user `local`. */
async function signedIn(options: Parameters<typeof open>[2] = {}): Promise<Tab> {
  const tab = await open(browser, server.url, options);
  await signIn(tab.page, server.url, server.token);
  return tab;
}

const badge = (page: Page, text: string | RegExp) => page.locator(".page-head .badge", { hasText: text });
const output = (page: Page) => page.getByRole("region", { name: "Text of the output" });
const banner = (page: Page) => page.locator(".connection");

/** Runs a command in the session that the page shows. */
async function run(page: Page, command: string): Promise<void> {
  await page.getByLabel("Command to run in this session").fill(command);
  await page.keyboard.press("Enter");
  await output(page).waitFor();
}

async function openSession(page: Page, id: string): Promise<void> {
  await page.goto(`${server.url}/#/sessions/${id}`);
  await page.getByLabel("Command to run in this session").waitFor();
}

test("the link that `up` prints signs in once, and leaves neither code nor token behind", async () => {
  const { link } = server;
  const tab = await open(browser, server.url);
  const urls: string[] = [];
  tab.page.on("request", (request) => urls.push(request.url()));
  await tab.page.goto(link);
  await tab.page.getByRole("heading", { name: "No sessions yet" }).waitFor();
  const code = link.split("#code=")[1] ?? "";
  assert.match(code, /^[\w-]{43}$/);
  assert.equal(tab.page.url(), `${server.url}/`);
  assert.ok(urls.length > 3 && urls.every((url) => !url.includes(code) && !url.includes(server.token)), urls.join("\n"));
  assert.equal(await tab.page.evaluate("sessionStorage['ephemeral.token']"), server.token);
  assert.equal(await tab.page.evaluate("Object.values(localStorage).join()"), "");
  await tab.page.reload();
  await tab.page.getByRole("heading", { name: "No sessions yet" }).waitFor();
  await tab.close();

  const second = await open(browser, server.url);
  await second.page.goto(link);
  await second.page.getByText("This link was used before").waitFor();
  await second.page.goto("about:blank");
  await second.page.goto(server.newLink());
  await second.page.getByRole("heading", { name: "No sessions yet" }).waitFor();
  await second.close();
});

test("a wrong token is refused, and signing out ends the access", async () => {
  const tab = await open(browser, server.url);
  await tab.page.goto(server.url);
  await tab.page.getByLabel("Or paste a token").fill("eph_wrong");
  await tab.page.keyboard.press("Enter");
  await tab.page.getByText("The server does not know this token.").waitFor();
  await tab.page.getByLabel("Or paste a token").fill(server.token);
  await tab.page.keyboard.press("Enter");
  await tab.page.getByRole("button", { name: "Sign out" }).click();
  await tab.page.getByRole("heading", { name: "Sign in" }).waitFor();
  await tab.page.goto(`${server.url}/#/webhooks`);
  await tab.page.reload();
  await tab.page.getByRole("heading", { name: "Sign in" }).waitFor();
  await tab.close();
});

test("with the keyboard alone: start a session, run a command, see its output", async () => {
  const tab = await signedIn();
  const { page } = tab;
  await page.getByRole("heading", { name: "No sessions yet" }).waitFor();
  await page.getByRole("button", { name: "New session" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await page.evaluate("document.activeElement.textContent"), "New session", "the focus returns");
  await page.keyboard.press("Enter");
  await page.getByLabel("Lifetime (TTL)").focus();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("15m");
  await page.keyboard.press("Enter");
  const row = page.getByRole("list", { name: "Sessions" }).getByRole("listitem").first();
  await row.locator(".badge", { hasText: "ready" }).waitFor();
  assert.match((await row.getByRole("timer").textContent()) ?? "", /^14:\d\d|15:00$/);
  await row.getByRole("link").focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Command to run in this session").focus();
  await page.keyboard.type("echo $((6*7)); echo oops >&2; exit 3");
  await page.keyboard.press("Enter");
  await badge(page, "exit 3").waitFor();
  assert.equal(await output(page).innerText(), "42\noops\n");
  await page.getByRole("button", { name: "stderr" }).click();
  await holds(page, `document.querySelector('.output').innerText === "oops\\n"`);
  await page.getByRole("button", { name: "Run again" }).focus();
  const before = page.url();
  await page.keyboard.press("Enter");
  await holds(page, `location.href !== ${JSON.stringify(before)}`);
  await badge(page, "exit 3").waitFor();
  await tab.close();
});

test("output appears as it comes, can be searched and downloaded, and a signal arrives", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await run(page, `trap 'echo caught; exit 0' USR1; i=0; while :; do i=$((i+1)); printf '\\033[32mtick\\033[0m %s\\n' $i; sleep 0.1; done`);
  await holds(page, `document.querySelector('.output').innerText.includes('tick 5\\n')`);
  await badge(page, "running").waitFor();
  assert.ok((await output(page).locator(".fg-2").count()) >= 5, "the colour is shown");
  await page.getByLabel("Search in the output").fill("TICK 3");
  await page.locator(".matches", { hasText: /^1\// }).waitFor();
  await page.getByRole("button", { name: "Follow", pressed: false }).waitFor();
  await page.getByLabel("Signal", { exact: true }).selectOption("USR1");
  await page.getByRole("button", { name: "Send" }).click();
  await badge(page, "exit 0").waitFor();
  await holds(page, `document.querySelector('.output').innerText.includes('caught\\n')`);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download" }).click(),
  ]);
  const saved = readFileSync(await download.path(), "utf8");
  assert.ok(saved.startsWith("\x1b[32mtick\x1b[0m 1\n") && saved.includes("caught\n"), saved.slice(-80));
  await tab.close();
});

test("a running command is cancelled", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  await openSession(tab.page, id);
  await run(tab.page, "echo started; sleep 600");
  await badge(tab.page, "running").waitFor();
  await tab.page.getByRole("button", { name: "Cancel" }).click();
  await badge(tab.page, "cancelled").waitFor();
  await tab.close();
});

test("a megabyte of lines is shown to its end, and what was cut is said", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await run(page, "yes | head -c 3000000");
  await badge(page, /exit/).waitFor();
  await page.getByText("stdout was cut: 1.0 MiB of 2.9 MiB is kept.").waitFor();
  await page.getByText("1.0 MiB, complete").waitFor();
  const text = await output(page).evaluate((element) => element.textContent ?? "");
  assert.equal(text.length, 1024 * 1024);
  const isAtEnd = "(() => { const o = document.querySelector('.output'); return o.scrollHeight - o.scrollTop - o.clientHeight < 30; })()";
  await holds(page, isAtEnd);
  await tab.close();
});

test("a deployment without streams is polled", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  const problem = { title: "Not Acceptable", detail: "no streams", status: 406, code: "streaming_unavailable", retryable: false };
  await page.route("**/v1/jobs/*/stream", (route) =>
    route.fulfill({ status: 406, contentType: "application/problem+json", body: JSON.stringify(problem) }),
  );
  await openSession(page, id);
  await run(page, "echo first; sleep 8; echo second");
  await holds(page, `document.querySelector('.output').innerText === 'first\\n'`);
  await badge(page, "exit 0").waitFor();
  await holds(page, `document.querySelector('.output').innerText === 'first\\nsecond\\n'`);
  await tab.close();
});

test("a server that is killed is said to be gone; all goes on when it is back", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await run(page, "for i in $(seq 1 60); do echo line $i; sleep 0.1; done");
  await holds(page, `document.querySelector('.output').innerText.includes('line 5\\n')`);
  await server.kill();
  await banner(page).getByText("The server does not answer").waitFor();
  await page.screenshot({ path: path.join(screenshots, "lost-server.png") });
  assert.deepEqual(await violations(page), []);
  await server.start();
  await banner(page).getByText("The server answers again.").waitFor();
  await badge(page, "exit 0").waitFor();
  const expected = Array.from({ length: 60 }, (_, index) => `line ${index + 1}\n`).join("");
  await holds(page, `document.querySelector('.output').innerText === ${JSON.stringify(expected)}`);
  await page.goto(`${server.url}/#/`);
  await page.getByRole("list", { name: "Sessions" }).waitFor();
  await server.kill();
  await banner(page).getByText("The server does not answer").waitFor();
  await server.start();
  await banner(page).getByText("The server answers again.").waitFor();
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

test("what a command or its owner writes is text, never markup", async () => {
  const markup = "<img src=x onerror=alert(1)><script>alert(1)</script>";
  const id = await server.session({ ttlSeconds: 600, metadata: { [markup]: markup } });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await page.getByRole("list", { name: "Metadata" }).getByText(markup).first().waitFor();
  await run(page, `printf '%s' '${markup}' | tee /dev/stderr`);
  await badge(page, "exit 0").waitFor();
  await holds(page, `document.querySelector('.output').innerText.includes('<script>')`);
  assert.equal(await page.locator("#main img, #main script").count(), 0);
  await tab.close();
});

test("a session is extended and stopped, and its timeline shows all phases", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await page.getByRole("button", { name: "Extend" }).click();
  await page.getByRole("button", { name: "4 h" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Extend" }).click();
  await page.getByRole("timer").getByText(/^3:59|4:00/).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByLabel("Reason (optional)").fill("the test is over");
  await page.getByRole("button", { name: "Stop session" }).click();
  await badge(page, "stopped").waitFor();
  await page.getByText("Ended: user stop – the test is over").waitFor();
  const phases = await page.getByRole("list", { name: "Phases and jobs" }).getByRole("listitem").allInnerTexts();
  const names = ["accepted", "provisioning", "starting", "ready", "stopping"];
  for (const name of names) assert.ok(phases.some((row) => row.startsWith(name) && /\d m?s/.test(row)), `${name}: ${phases}`);
  assert.equal(await page.getByLabel("Command to run in this session").count(), 0);
  await page.getByRole("tab", { name: /Events/ }).click();
  await page.getByRole("row", { name: /stop requested/ }).waitFor();
  await tab.close();
});

test("sessions are filtered and paged", async () => {
  const tab = await signedIn();
  const { page } = tab;
  const rows = page.getByRole("list", { name: "Sessions" }).getByRole("listitem");
  await rows.first().waitFor();
  const all = await rows.count();
  await page.getByLabel("Status").selectOption("stopped");
  await holds(page, `[...document.querySelectorAll('li.session-row .badge')].every((each) => each.textContent === 'stopped')`);
  await page.getByLabel("Status").selectOption("");
  await page.getByLabel("Filter by id, image or metadata").fill("of-the-first");
  await holds(page, `document.querySelectorAll('li.session-row').length === 1`);
  await page.getByLabel("Filter by id, image or metadata").fill("no such thing");
  await page.getByRole("heading", { name: "No session matches" }).waitFor();
  await page.getByLabel("Filter by id, image or metadata").fill("");
  assert.ok(all > 1 && (await rows.count()) >= all);
  // The real pages have 25 sessions each, more than the host's shells here.
  await page.route("**/v1/sessions?*", (route) => {
    const url = new URL(route.request().url());
    url.searchParams.set("limit", "2");
    return route.continue({ url: url.href });
  });
  await page.getByRole("button", { name: "Older" }).click();
  await page.getByText("Page 2").waitFor();
  await page.getByRole("button", { name: "Newer" }).click();
  await page.getByText("Page 1").waitFor();
  await tab.close();
});

/** A receiver of webhooks that refuses the first delivery. */
async function receiver(): Promise<{ url: string; http: HttpServer }> {
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

test("deliveries show their attempts, and can be sent again", async () => {
  const { url, http } = await receiver();
  const tab = await signedIn();
  const { page } = tab;
  await page.getByRole("button", { name: "New session" }).click();
  await page.getByText("More options").click();
  await page.getByLabel("Webhook URL").fill(url);
  await page.getByRole("button", { name: "Start session" }).click();
  await page.getByText("It is shown only now.").waitFor();
  assert.match((await page.locator(".notice code").textContent()) ?? "", /^whsec_/);
  await page.getByRole("link", { name: "Webhooks" }).click();
  const delivery = page.getByRole("list", { name: "Deliveries" }).getByRole("listitem").first();
  await delivery.locator("summary .badge", { hasText: "delivered" }).waitFor();
  await delivery.locator("summary").click();
  await delivery.getByText("HTTP 503").waitFor();
  await delivery.getByText("HTTP 204").first().waitFor();
  await delivery.getByRole("button", { name: "Redeliver" }).click();
  await holds(page, `document.querySelectorAll('.attempts')[0].children.length === 3`);
  http.close();
  await tab.close();
});

/** Sessions, jobs and output that are worth a picture. */
async function scene(): Promise<{ session: string; job: string }> {
  await server.session({ ttlSeconds: 28_800, metadata: { agent: "build-42", repo: "acme/web" }, size: { cpu: 512, memoryMiB: 1024 } });
  await server.api("POST", "/shell/start", { command: "echo bye", metadata: { job: "nightly" } });
  const session = await server.session({ ttlSeconds: 5400, metadata: { course: "algebra", student: "ada" } });
  const script = [
    "printf '\\033[1;36m== running 6 tests\\033[0m\\n'",
    "for t in parse_empty parse_nested roundtrip unicode; do sleep 0.15; printf 'test %-14s \\033[32mok\\033[0m\\n' $t; done",
    "printf 'test %-14s \\033[1;31mFAILED\\033[0m\\n' overflow",
    "echo \"assertion failed: left: 255, right: 256\" >&2",
    "printf 'test %-14s \\033[33mskipped\\033[0m\\n' network",
    "printf '\\n\\033[1;31mresult: 4 passed, 1 failed, 1 skipped\\033[0m\\n'; exit 1",
  ].join("\n");
  const accepted = await server.api<{ jobId: string }>("POST", "/shell/execute", { sessionId: session, command: script });
  await server.api("POST", "/shell/execute", { sessionId: session, command: "sleep 0.4; echo $((6*7))" });
  await server.api("GET", `/jobs/${accepted.jobId}?waitSeconds=25`);
  return { session, job: accepted.jobId };
}

test("each page is accessible and looks as it should, light, dark and on a phone", async () => {
  const { session, job } = await scene();
  const looks = {
    light: { colorScheme: "light" },
    dark: { colorScheme: "dark" },
    phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
  } as const;
  for (const [look, options] of Object.entries(looks)) {
    const tab = await open(browser, server.url, options);
    const { page } = tab;
    const keep = async (name: string) => {
      const isPhone = look === "phone";
      await page.screenshot({ path: path.join(screenshots, `${name}-${look}.png`), fullPage: isPhone && name !== "start" });
      const overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
      assert.equal(await page.evaluate(overflow), 0, `${name} ${look}: wider than the window`);
      assert.deepEqual(await violations(page), [], `${name} ${look}`);
    };
    await page.goto(`${server.url}/`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await keep("sign-in");
    await signIn(page, server.url, server.token);
    await page.getByRole("list", { name: "Sessions" }).waitFor();
    await page.getByText(/of 8 active/).waitFor();
    await keep("sessions");
    await page.getByRole("button", { name: "New session" }).click();
    await page.getByText("More options").click();
    await page.getByLabel("One shot").check();
    await keep("start");
    await page.keyboard.press("Escape");
    await page.goto(`${server.url}/#/sessions/${session}`);
    await page.getByRole("list", { name: "Phases and jobs" }).waitFor();
    await keep("session");
    await page.goto(`${server.url}/#/jobs/${job}`);
    await page.getByText("complete", { exact: false }).waitFor();
    await keep("job");
    await page.goto(`${server.url}/#/webhooks`);
    await page.locator("summary").first().click();
    await keep("webhooks");
    await tab.close();
  }
});

test("the first list is shown soon after the page is opened", async () => {
  const tab = await signedIn();
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    await tab.page.reload({ waitUntil: "commit" });
    await holds(tab.page, "document.querySelector('li.session-row') !== null");
    times.push(Number(await tab.page.evaluate("performance.now()")));
  }
  const median = times.sort((a, b) => a - b)[2] ?? Number.NaN;
  process.stdout.write(`measured: the first list is shown ${median.toFixed(0)} ms after the page is opened\n`);
  // The target is 300 ms on an idle machine; here other tests and compilers may run beside.
  assert.ok(median < 5000, `${median} ms`);
  await tab.close();
});
