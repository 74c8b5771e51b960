// Terminals: typing, resizing, reloading, and each state.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { openSession, server, signedIn } from "./fixture.js";
import { holds, screenshots, violations } from "./page.js";
import { input, openTerminal, rows, shows, status, type } from "./terminal-page.js";

test("a terminal takes what is typed, follows the window, and says how its program ended", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await openTerminal(page);
  await type(page, "echo $((6*7)) from $(tty)");
  await holds(page, shows("42 from /dev/pts/"));
  const size = async () => {
    await type(page, "clear; echo size $(stty size) end");
    await holds(page, `/size \\d+ \\d+ end/.test(${shows("x").split("?.innerText")[0]}.innerText)`);
    return /size (\d+) (\d+) end/.exec(await rows(page).innerText())?.slice(1).map(Number) ?? [];
  };
  const [height = 0, width = 0] = await size();
  assert.ok(height > 10 && width > 80, `${height} rows, ${width} columns`);
  await page.setViewportSize({ width: 900, height: 700 });
  await holds(page, shows("end"));
  const deadline = Date.now() + 20_000;
  let [lower = 0, narrower = 0] = await size();
  while (narrower >= width && Date.now() < deadline) [lower = 0, narrower = 0] = await size();
  assert.ok(lower < height && narrower < width, `${lower} rows, ${narrower} columns after ${height}, ${width}`);
  await type(page, "exit 3");
  await status(page).getByText("exit 3").waitFor();
  await status(page).getByText("The terminal is closed, after").waitFor();
  await page.getByRole("list", { name: "Jobs" }).getByText("exit 3").waitFor();
  assert.deepEqual(await violations(page), []);
  await tab.close();
});

test("a terminal is opened while the session still starts", async () => {
  const tab = await signedIn();
  const { page } = tab;
  const { sessionId } = await server.api<{ sessionId: string }>("POST", "/shell/start", { ttlSeconds: 600 });
  await openSession(page, sessionId);
  await openTerminal(page);
  await type(page, "echo at $((20+1))");
  await holds(page, shows("at 21"));
  await tab.close();
});

test("after a reload, a terminal shows again what it has shown, and its program has gone on", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await openTerminal(page);
  await type(page, "NAME=kept; printf '\\033[6n\\033[c'; read -rs -d c; (sleep 1; echo later) & printf '\\033[31mred\\033[0m\\n'");
  await holds(page, shows("\nred\n"));
  // The terminal has answered the two questions.
  await type(page, "echo settled $((1+1))");
  await holds(page, shows("settled 2"));
  await page.reload();
  await status(page).getByText("Connected").waitFor();
  await holds(page, shows("red"));
  await holds(page, shows("later"));
  // The questions are shown again, and are not answered again.
  await input(page).focus();
  await type(page, "echo again $NAME");
  await holds(page, shows("again kept"));
  await tab.close();
});

test("terminals are side by side, are left and attached again, and one can be ended", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await openTerminal(page);
  await type(page, "echo one");
  await openTerminal(page);
  await type(page, "echo two");
  await holds(page, shows("two"));
  await page.getByRole("tab", { name: "Terminal 1" }).click();
  await holds(page, shows("one"));
  await page.getByRole("tab", { name: "Terminal 1" }).press("ArrowRight");
  await holds(page, shows("two"));
  await page.getByRole("button", { name: "Detach" }).click();
  await status(page).getByText("Detached").waitFor();
  await page.getByRole("button", { name: "Attach" }).click();
  await status(page).getByText("Connected").waitFor();
  await holds(page, shows("two"));
  await page.getByRole("button", { name: "Close tab" }).click();
  await page.getByText("Another terminal runs").waitFor();
  assert.deepEqual(await violations(page), []);
  await page.getByRole("button", { name: "Attach" }).click();
  await status(page).getByText("Connected").waitFor();
  await holds(page, shows("two"));
  await page.getByRole("button", { name: "End", exact: true }).click();
  await status(page).getByText("cancelled").first().waitFor();
  await tab.close();
});

test("the keyboard leaves a terminal by Ctrl+Shift+., and all other keys are the program's", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await page.getByRole("button", { name: "Open terminal" }).focus();
  await page.keyboard.press("Enter");
  await status(page).getByText("Connected").waitFor();
  await holds(page, "document.activeElement.tagName === 'TEXTAREA'");
  await page.keyboard.type("cat -v");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Escape");
  await page.keyboard.type("x");
  await page.keyboard.press("Enter");
  await holds(page, shows("^[x"));
  await page.keyboard.press("Control+Shift+Period");
  assert.equal(await page.evaluate("document.activeElement.id"), "terminal-tab-1");
  await page.keyboard.press("Tab");
  assert.notEqual(await page.evaluate("document.activeElement.tagName"), "TEXTAREA");
  await tab.close();
});

test("a terminal is connected again after its server was killed", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await openTerminal(page);
  await type(page, "NAME=kept; echo before");
  await holds(page, shows("before"));
  await server.kill();
  await status(page).getByText("The connection was lost.").waitFor();
  await page.screenshot({ path: path.join(screenshots, "terminal-lost.png") });
  assert.deepEqual(await violations(page), []);
  await server.start();
  await status(page).getByText("Connected").waitFor();
  await holds(page, shows("before"));
  await input(page).focus();
  await type(page, "echo after $NAME");
  await holds(page, shows("after kept"));
  // The browser reports the connections that failed.
  tab.errors.splice(0, tab.errors.length, ...tab.errors.filter((error) => !error.includes("WebSocket connection")));
  await tab.close();
});

test("a permission that was used is asked for again, and the user is told if that does not help", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await page.route(/\/v1\/jobs\/[^/]+\?waitSeconds/, async (route) => {
    const response = await route.fetch();
    const text = (await response.text()).replace(/"tokenValue":"[^"]*"/, '"tokenValue":"wrong"');
    await route.fulfill({ response, body: text });
  });
  await openSession(page, id);
  await page.getByRole("button", { name: "Open terminal" }).click();
  await status(page).getByText("The server refused to open this terminal: the token was used").waitFor();
  await page.screenshot({ path: path.join(screenshots, "terminal-refused.png") });
  assert.deepEqual(await violations(page), []);
  await page.unrouteAll();
  await page.getByRole("button", { name: "Open again" }).click();
  await status(page).getByText("Connected").waitFor();
  await tab.close();
});

test("a lot of output arrives, and Ctrl+C ends what has no end", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await openTerminal(page);
  await type(page, "seq 200000; echo all $((1+1))");
  await holds(page, shows("200000\nall 2"));
  await type(page, "yes");
  await holds(page, shows("y\ny\ny\ny\ny\ny\ny\ny"));
  await page.keyboard.press("Control+c");
  await type(page, "echo ended $((2+3))");
  await holds(page, shows("ended 5"));
  await tab.close();
});

test("what is selected is copied, what is pasted is typed, and a link is opened by Ctrl and a click", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn({ permissions: ["clipboard-read", "clipboard-write"] });
  const { page } = tab;
  await openSession(page, id);
  await openTerminal(page);
  await type(page, "clear; echo copied-$((6*7)) http://127.0.0.1:9/a?b");
  await holds(page, shows("copied-42"));
  const line = await rows(page).locator("> div", { hasText: "copied-42 http" }).first().boundingBox();
  assert.ok(line);
  await page.mouse.dblclick(line.x + 20, line.y + 8);
  await page.keyboard.press("Control+c");
  await holds(page, "navigator.clipboard.readText().then((text) => text.startsWith('copied-42'))");
  await page.evaluate("navigator.clipboard.writeText('echo pasted-$((1+1))')");
  await page.keyboard.press("Control+Shift+V");
  await page.keyboard.press("Enter");
  await holds(page, shows("pasted-2"));
  await page.evaluate("window.open = (...args) => { window.opened = args; return null; }");
  await page.mouse.click(line.x + 130, line.y + 8);
  assert.equal(await page.evaluate("window.opened"), undefined);
  await page.mouse.move(line.x + 140, line.y + 8);
  await page.keyboard.down("Control");
  await page.mouse.click(line.x + 130, line.y + 8);
  await page.keyboard.up("Control");
  await holds(page, "window.opened?.[0] === 'http://127.0.0.1:9/a?b' && window.opened[2].includes('noopener')");
  await tab.close();
});

test("a terminal that was opened elsewhere is attached, read aloud and, once it has ended, kept", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const command = "trap 'echo bye; exit 5' USR1; echo from elsewhere; while :; do sleep 0.1; done";
  const { jobId } = await server.api<{ jobId: string }>("POST", `/sessions/${id}/terminal`, { command });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await page.getByText("Another terminal runs").waitFor();
  await page.getByRole("button", { name: "Attach" }).click();
  await holds(page, shows("from elsewhere"));
  await page.getByRole("button", { name: "Screen reader support" }).press("Enter");
  await page.locator(".xterm-accessibility-tree").getByText("from elsewhere").waitFor();
  assert.deepEqual(await violations(page), []);
  await page.goto(`${server.url}/#/jobs/${jobId}`);
  await page.getByText("This terminal is shown on").waitFor();
  assert.deepEqual(await violations(page), []);
  await server.api("POST", `/jobs/${jobId}/signal`, { signal: "USR1" });
  await page.locator(".page-head .badge", { hasText: "exit 5" }).waitFor();
  await page.locator(".output").getByText("from elsewhere").waitFor();
  await page.goBack();
  await status(page).getByText("exit 5").waitFor();
  await holds(page, shows("bye"));
  await tab.close();
});

test("where the browser has no digests, the page says that terminals need https", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await page.addInitScript("Object.defineProperty(crypto, 'subtle', { value: undefined })");
  await page.reload();
  await openSession(page, id);
  await page.getByText("Terminals need https").waitFor();
  assert.equal(await page.getByRole("button", { name: "Open terminal" }).count(), 0);
  await page.screenshot({ path: path.join(screenshots, "terminal-http.png") });
  assert.deepEqual(await violations(page), []);
  await tab.close();
});
