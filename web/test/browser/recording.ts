// A recorded terminal and its player.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { openSession, server, signedIn } from "./fixture.js";
import { holds, screenshots, violations } from "./page.js";
import { shows, status, type } from "./terminal-page.js";

/** An expression that holds while the recording shows this text. */
const plays = (text: string) =>
  `document.querySelector(".recording-screen .xterm-rows")?.innerText.replaceAll("\\u00a0", " ").includes(${JSON.stringify(text)})`;

test("a terminal is recorded and played, by keys too", async () => {
  const id = await server.session({ ttlSeconds: 600 });
  const tab = await signedIn();
  const { page } = tab;
  await openSession(page, id);
  const record = page.getByRole("button", { name: "Record new terminals" });
  await record.click();
  assert.equal(await record.getAttribute("aria-pressed"), "true");
  await page.getByRole("button", { name: "Open terminal" }).click();
  await status(page).getByText("Connected").waitFor();
  await holds(page, shows("$"));
  await type(page, "printf '\\033[32mgreen\\033[0m %s\\n' one; sleep 1; echo two $((6*7))");
  await holds(page, shows("two 42"));
  await type(page, "exit");
  await status(page).getByText("exit 0").waitFor();
  await page.getByRole("list", { name: "Jobs" }).getByRole("link").first().click();
  await page.getByRole("heading", { name: "Recording" }).waitFor();
  await page.getByRole("button", { name: "Open recording" }).press("Enter");

  const pause = page.getByRole("button", { name: "Pause" });
  await pause.waitFor();
  await page.getByLabel("Speed").selectOption("8");
  const play = page.getByRole("button", { name: "Play" });
  await play.waitFor();
  await holds(page, plays("two 42"));
  await holds(page, plays("green one"));

  // The button took the focus; the keys of the slider seek.
  const position = page.getByRole("slider", { name: "Position" });
  await position.press("Home");
  assert.equal(await position.inputValue(), "0");
  await holds(page, `!(${plays("two 42")})`);
  await play.press("Space");
  await holds(page, plays("two 42"));
  await play.waitFor();
  await page.screenshot({ path: path.join(screenshots, "recording.png"), fullPage: true });
  assert.deepEqual(await violations(page), []);

  const download = page.waitForEvent("download");
  await page.locator(".recording-controls").getByRole("button", { name: "Download" }).click();
  assert.match((await download).suggestedFilename(), /^job_.*\.cast$/);
  await page.setViewportSize({ width: 390, height: 844 });
  const overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
  assert.equal(await page.evaluate(overflow), 0);
  await page.screenshot({ path: path.join(screenshots, "recording-phone.png"), fullPage: true });
  await tab.close();
});
