// Commands and their output.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { badge, openSession, output, outputHas, outputIs, prompt, run, server, signedIn } from "./fixture.js";
import { holds } from "./page.js";

test("with the keyboard alone: start a session, run a command, see its output", async () => {
  const tab = await signedIn();
  const { page } = tab;
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
  await prompt(page).focus();
  await page.keyboard.type("echo $((6*7)); echo oops >&2; exit 3");
  await page.keyboard.press("Enter");
  await badge(page, "exit 3").waitFor();
  assert.equal(await output(page).innerText(), "42\noops\n");
  await page.getByRole("button", { name: "stderr" }).click();
  await holds(page, outputIs("oops\n"));
  await page.getByRole("button", { name: "Run again" }).focus();
  const before = page.url();
  await page.keyboard.press("Enter");
  await holds(page, `location.href !== ${JSON.stringify(before)}`);
  await badge(page, "exit 3").waitFor();
  await tab.close();
});

test("a command is sent while the session still starts, and runs when it is ready", async () => {
  const tab = await signedIn();
  const { page } = tab;
  const { sessionId } = await server.api<{ sessionId: string }>("POST", "/shell/start", { ttlSeconds: 600 });
  await openSession(page, sessionId);
  await run(page, "echo ready at last");
  await badge(page, "exit 0").waitFor();
  await holds(page, outputIs("ready at last\n"));
  await tab.close();
});

test("output appears as it comes, can be searched and downloaded, and a signal arrives", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await run(page, `trap 'echo caught; exit 0' USR1; i=0; while :; do i=$((i+1)); printf '\\033[32mtick\\033[0m %s\\n' $i; sleep 0.1; done`);
  await holds(page, outputHas("tick 5\n"));
  await badge(page, "running").waitFor();
  assert.ok((await output(page).locator(".fg-2").count()) >= 5, "the colour is shown");
  await page.getByLabel("Search in the output").fill("TICK 3");
  await page.locator(".matches", { hasText: /^1\// }).waitFor();
  await page.getByRole("button", { name: "Follow", pressed: false }).waitFor();
  await page.getByLabel("Signal", { exact: true }).selectOption("USR1");
  await page.getByRole("button", { name: "Send" }).click();
  await badge(page, "exit 0").waitFor();
  await holds(page, outputHas("caught\n"));
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download" }).click(),
  ]);
  const saved = readFileSync(await download.path(), "utf8");
  assert.ok(saved.startsWith("\x1b[32mtick\x1b[0m 1\n") && saved.includes("caught\n"), saved.slice(-80));
  await tab.close();
});

test("a running command is cancelled, and one behind it says what it waits for", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await run(page, "echo started; sleep 600");
  await badge(page, "running").waitFor();
  const first = page.url();
  await openSession(page, id);
  await run(page, "echo second");
  await page.getByText("Queued behind").waitFor();
  await page.locator(".session-note").getByRole("link").click();
  await page.waitForURL(first);
  await page.getByRole("button", { name: "Cancel" }).click();
  await badge(page, "cancelled").waitFor();
  await page.goBack();
  await badge(page, "exit 0").waitFor();
  await holds(page, outputIs("second\n"));
  assert.equal(await page.getByText("Queued behind").count(), 0);
  await tab.close();
});

const isAtEnd =
  "(() => { const o = document.querySelector('.output'); return o.scrollHeight - o.scrollTop - o.clientHeight < 30; })()";

test("of three megabytes the beginning and the end are shown, with a line for what was left out", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await run(page, "echo first; yes | head -c 3000000; echo last");
  await badge(page, "exit 0").waitFor();
  await page.getByText("stdout was cut: 1.0 MiB of 2.9 MiB is kept, its beginning and its end.").waitFor();
  await page.getByText("1.0 MiB of 2.9 MiB kept", { exact: true }).waitFor();
  await page.getByText("… 1.9 MiB of stdout left out …").waitFor();
  const text = await output(page).evaluate((element) => element.textContent ?? "");
  assert.ok(text.startsWith("first\ny\n") && text.endsWith("y\nlast\n"), text.slice(-30));
  await holds(page, isAtEnd);
  // A page that is opened later shows the same.
  await page.reload();
  await page.getByText("… 1.9 MiB of stdout left out …").waitFor();
  await holds(page, `document.querySelector('.output').textContent.length === ${text.length}`);
  await tab.close();
});

test("the end alone is kept where the form asks for it", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await page.getByText("Options").click();
  await page.getByLabel("Of long output, keep").selectOption("tail");
  await run(page, "echo first; yes | head -c 1500000; echo last");
  await badge(page, "exit 0").waitFor();
  await page.getByText("is kept, its end.").waitFor();
  await holds(page, outputHas("last\n"));
  assert.ok(!(await output(page).evaluate((element) => element.textContent ?? "")).includes("first"));
  await tab.close();
});

test("the options of a command reach it, and what it leaves running is listed", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await page.getByText("Options").click();
  await page.getByLabel("Directory", { exact: true }).fill("/tmp");
  await page.getByLabel("Environment").fill("GREETING=hello world");
  await page.getByLabel("Standard input").fill("typed\n");
  await page.getByLabel("Leave background processes running").check();
  await page.getByText("Options (4)").waitFor();
  await run(page, "pwd; echo $GREETING; cat; sleep 300 >/dev/null 2>&1 &");
  await badge(page, "exit 0").waitFor();
  await holds(page, outputIs("/tmp\nhello world\ntyped\n"));
  await page.getByRole("heading", { name: "Left running in the background" }).waitFor();
  await page.locator(".processes").getByText("sleep 300").waitFor();
  await tab.close();
});

test("commands in a shared shell find what those before have left there", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await page.getByText("Options").click();
  await page.getByLabel("Directory", { exact: true }).fill("/var");
  await page.getByLabel("In a shared shell").check();
  await page.getByLabel("Name of the shell").fill("main");
  assert.equal(await page.getByLabel("Directory", { exact: true }).count(), 0, "it is the shell's");
  await page.getByText("Options (2)").waitFor();
  await run(page, "cd /tmp; NAME=kept");
  await badge(page, "exit 0").waitFor();
  await page.getByText("main (new)").waitFor();
  await page.goBack();
  await page.getByText("Options").click();
  await page.getByLabel("In a shared shell").check();
  await page.getByLabel("Name of the shell").fill("main");
  await run(page, "pwd; echo $NAME >&2; exit 3");
  await badge(page, "exit 3").waitFor();
  await holds(page, outputIs("/tmp\nkept\n"));
  await page.getByText("main (has ended)").waitFor();
  await tab.close();
});

test("root is refused with the reason where the server does not allow it", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  await page.getByText("Options").click();
  await page.getByLabel("User").fill("root");
  await prompt(page).fill("id -u");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("commands can't run as root").waitFor();
  assert.equal(await prompt(page).inputValue(), "id -u", "what was entered stays");
  await tab.close();
});

test("a deployment without streams is polled, with gaps too", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  const problem = { title: "Not Acceptable", detail: "no streams", status: 406, code: "streaming_unavailable", retryable: false };
  await page.route("**/v1/jobs/*/stream", (route) =>
    route.fulfill({ status: 406, contentType: "application/problem+json", body: JSON.stringify(problem) }),
  );
  await openSession(page, id);
  await run(page, "mkfifo /tmp/go; echo first; cat /tmp/go; yes | head -c 1500000; echo second");
  await holds(page, outputIs("first\n"));
  const go = { sessionId: id, command: "echo go > /tmp/go", concurrency: "parallel" };
  await server.api("POST", "/shell/execute", go);
  await badge(page, "exit 0").waitFor();
  await holds(page, outputHas("first\ngo\n"));
  await page.getByText(/… \d+\.\d KiB of stdout left out …/).waitFor();
  await holds(page, outputHas("second\n"));
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
  await holds(page, outputHas("<script>"));
  assert.equal(await page.locator("#main img, #main script").count(), 0);
  await tab.close();
});
