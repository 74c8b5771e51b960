// A screenshot of each page, light, dark and of a phone; each page must be accessible and fit the window.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { browser, receiver, server } from "./fixture.js";
import { open, screenshots, signIn, violations } from "./page.js";

/** What the pictures show. */
interface Scene {
  session: string;
  /** Of a command that failed, of one that still runs, and of one whose output was cut. */
  failed: string;
  running: string;
  cut: string;
  /** The commands of the jobs, as the tab that sent them keeps them. */
  commands: [string, { command: string }][];
}

const TESTS = [
  "printf '\\033[1;36m== running 6 tests\\033[0m\\n'",
  "for t in parse_empty parse_nested roundtrip unicode; do sleep 0.15; printf 'test %-14s \\033[32mok\\033[0m\\n' $t; done",
  "printf 'test %-14s \\033[1;31mFAILED\\033[0m\\n' overflow",
  'echo "assertion failed: left: 255, right: 256" >&2',
  "printf 'test %-14s \\033[33mskipped\\033[0m\\n' network",
  "printf '\\n\\033[1;31mresult: 4 passed, 1 failed, 1 skipped\\033[0m\\n'; exit 1",
].join("\n");

/** Sessions, jobs and output that are worth a picture. */
async function scene(): Promise<Scene> {
  await server.session({ ttlSeconds: 28_800, metadata: { agent: "build-42", repo: "acme/web" }, size: { cpu: 512, memoryMiB: 1024 } });
  await server.api("POST", "/shell/start", { command: "echo bye", metadata: { job: "nightly" } });
  const session = await server.session({ ttlSeconds: 5400, metadata: { course: "algebra", student: "ada" } });
  const commands: Scene["commands"] = [];
  const run = async (shown: string, command: string, isAwaited = true) => {
    const body = { sessionId: session, command };
    const { jobId } = await server.api<{ jobId: string }>("POST", "/shell/execute", body);
    commands.push([jobId, { command: shown }]);
    if (isAwaited) await server.api("GET", `/jobs/${jobId}?waitSeconds=25`);
    return jobId;
  };
  await run("pip install -r requirements.txt", "sleep 0.8");
  const failed = await run("make test", TESTS);
  const cut = await run("seq 300000", "seq 300000");
  await run("git commit -am 'Fix the overflow'", "sleep 0.3");
  const running = await run("python train.py --epochs 40", "for i in $(seq 1 12); do echo epoch $i: loss 0.$((50-i)); done; sleep 600", false);
  return { session, failed, running, cut, commands };
}

const LOOKS = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
} as const;

test("each page is accessible and looks as it should, light, dark and on a phone", async () => {
  const fresh = server.addUser("new");
  const shown = await scene();
  const { url, http } = await receiver();
  await server.session({ ttlSeconds: 900, webhook: { url } });
  for (const [look, options] of Object.entries(LOOKS)) {
    const tab = await open(browser, server.url, options);
    const { page } = tab;
    const keep = async (name: string, whole = true) => {
      await page.screenshot({ path: path.join(screenshots, `${name}-${look}.png`), fullPage: look === "phone" && whole });
      const overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
      assert.equal(await page.evaluate(overflow), 0, `${name} ${look}: wider than the window`);
      assert.deepEqual(await violations(page), [], `${name} ${look}`);
    };
    await page.goto(`${server.url}/`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await keep("sign-in");
    await signIn(page, server.url, fresh);
    await page.getByRole("heading", { name: "No sessions yet" }).waitFor();
    await keep("empty");
    await page.goto(`${server.url}/#/webhooks`);
    await page.getByRole("heading", { name: "No deliveries" }).waitFor();
    await keep("webhooks");
    await page.goto(`${server.url}/#/sessions/${shown.session}`);
    await page.getByRole("heading", { name: "No such session" }).waitFor();
    await keep("missing");
    await page.getByRole("button", { name: "Sign out" }).click();
    await signIn(page, server.url, server.token);
    await page.evaluate((text) => sessionStorage.setItem("ephemeral.commands", text), JSON.stringify(shown.commands));
    await page.getByRole("list", { name: "Sessions" }).waitFor();
    await page.getByText(/of 8 active/).waitFor();
    await keep("sessions");
    await page.getByRole("button", { name: "New session" }).click();
    await page.getByText("More options").click();
    await page.getByLabel("One shot").check();
    await keep("start", false);
    await page.keyboard.press("Escape");
    await page.goto(`${server.url}/#/sessions/${shown.session}`);
    await page.getByRole("list", { name: "Phases and jobs" }).waitFor();
    await keep("session");
    await page.getByText("Options").click();
    await keep("options");
    await page.getByLabel("In a shared shell").check();
    await keep("shared");
    await page.getByLabel("In a shared shell").uncheck();
    await page.getByText("Options").click();
    await page.getByRole("tab", { name: /Events/ }).click();
    await keep("events");
    await page.goto(`${server.url}/#/jobs/${shown.failed}`);
    await page.getByText("complete", { exact: false }).waitFor();
    await keep("job");
    await page.goto(`${server.url}/#/jobs/${shown.running}`);
    await page.getByText("epoch 12").waitFor();
    await keep("running");
    await page.goto(`${server.url}/#/jobs/${shown.cut}`);
    await page.getByText("left out").waitFor();
    await page.getByLabel("Search in the output").fill("left out");
    await page.locator(".matches", { hasText: "1/1" }).waitFor();
    await keep("cut");
    await page.goto(`${server.url}/#/webhooks`);
    await page.locator("summary").first().click();
    await page.locator(".attempts").first().waitFor();
    await keep("deliveries");
    await page.goto(`${server.url}/#/sessions/${shown.session}`);
    await page.getByRole("button", { name: "Stop" }).click();
    await keep("stop", false);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Extend" }).click();
    await keep("extend", false);
    await page.keyboard.press("Escape");
    await page.goto(`${server.url}/#/nothing`);
    await page.getByRole("heading", { name: "There is no such page" }).waitFor();
    await tab.close();
  }
  http.close();
});
