// A screenshot of each state of a terminal, light, dark and on a phone; each must be accessible.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { browser, openSession, server } from "./fixture.js";
import { holds, open, screenshots, signIn, violations } from "./page.js";
import { input, openTerminal, shows, status, type } from "./terminal-page.js";

const LOOKS = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
} as const;

test("each state of a terminal is accessible and looks as it should, light, dark and on a phone", async () => {
  const id = await server.session({ ttlSeconds: 5400, metadata: { course: "algebra", student: "ada" } });
  for (const [look, options] of Object.entries(LOOKS)) {
    const tab = await open(browser, server.url, options);
    const { page } = tab;
    const keep = async (name: string) => {
      await page.mouse.move(5, 300);
      await page.screenshot({ path: path.join(screenshots, `terminal-${name}-${look}.png`) });
      const overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
      assert.equal(await page.evaluate(overflow), 0, `${name} ${look}: wider than the window`);
      assert.deepEqual(await violations(page), [], `${name} ${look}`);
    };
    await signIn(page, server.url, server.token);
    await openSession(page, id);
    await keep("none");
    await page.route(/\/terminal$/, async (route) => {
      await released;
      await route.continue();
    });
    let release = () => undefined as void;
    const released = new Promise<void>((resolve) => (release = resolve));
    await page.getByRole("button", { name: "Open terminal" }).click();
    await status(page).getByText("Connecting").waitFor();
    await page.locator(".xterm").waitFor();
    await keep("connecting");
    release();
    await status(page).getByText("Connected").waitFor();
    await page.unrouteAll();
    await type(page, DEMO);
    await holds(page, shows("naïve ✓ done"));
    await keep("connected");
    await openTerminal(page);
    await page.getByRole("tab", { name: "Terminal 1" }).click();
    await holds(page, shows("naïve ✓ done"));
    await keep("two");
    await page.getByRole("tab", { name: "Terminal 2" }).click();
    await page.getByRole("button", { name: "Detach" }).click();
    await keep("detached");
    await page.getByRole("button", { name: "Close tab" }).click();
    await page.getByText("Another terminal runs").first().waitFor();
    await keep("other");
    await input(page).focus();
    await type(page, "exit 3");
    await status(page).getByText("exit 3").waitFor();
    await keep("ended");
    for (const button of await page.getByRole("button", { name: "End", exact: true }).all()) await button.click();
    await page.getByText("Another terminal runs").first().waitFor({ state: "detached" });
    await tab.close();
  }
});

/** Output with the 16 colours, 256 colours, true colours, characters beyond ASCII and attributes. */
const DEMO = [
  "PS1='\\[\\e[1;36m\\]ada@shell\\[\\e[0m\\]:\\[\\e[34m\\]~/algebra\\[\\e[0m\\]$ '; clear",
  "printf '\\e[1;36m== running 6 tests\\e[0m\\n'",
  "for t in parse_empty parse_nested roundtrip unicode; do printf 'test %-14s \\e[32mok\\e[0m\\n' $t; done",
  "printf 'test %-14s \\e[1;31mFAILED\\e[0m\\n' overflow",
  "printf 'test %-14s \\e[33mskipped\\e[0m  \\e[38;5;244mno network\\e[0m\\n\\n' fetch",
  "printf '\\e[7m 4 passed \\e[0m \\e[1;31m1 failed\\e[0m \\e[33m1 skipped\\e[0m\\n\\n'",
  "bar() { printf '%-14s ' $1; for i in $(seq 1 24); do c=236; [ $i -le $2 ] && c=$3; printf \"\\e[38;5;${c}m█\\e[0m\"; done; echo \" $(($2*100/24)) %\"; }",
  "bar parser.rs 23 78; bar solver.rs 19 114; bar matrix.rs 13 221; bar format.rs 7 209",
  "printf '\\n\\e[3mnaïve ✓\\e[0m \\e[4mdone\\e[0m \\e[38;2;120;200;255mλ → ∀x∈ℝ\\e[0m\\n\\n'",
].join("; ");
