// What the pages of sessions and webhooks do.

import assert from "node:assert/strict";
import { test } from "node:test";
import { badge, openSession, prompt, receiver, server, signedIn } from "./fixture.js";
import { holds } from "./page.js";

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
  assert.equal(await prompt(page).count(), 0);
  await page.getByRole("tab", { name: /Events/ }).click();
  await page.getByRole("row", { name: /stop requested/ }).waitFor();
  await tab.close();
});

test("sessions are filtered and paged", async () => {
  await server.session({ ttlSeconds: 600, metadata: { name: "needle" } });
  const stopped = await server.session({ ttlSeconds: 600 });
  await server.session({ ttlSeconds: 600 });
  await server.api("POST", "/shell/stop", { sessionId: stopped });
  const tab = await signedIn();
  const { page } = tab;
  const rows = page.getByRole("list", { name: "Sessions" }).getByRole("listitem");
  await rows.first().waitFor();
  await page.getByLabel("Status").selectOption("stopped");
  await holds(page, `(() => {
    const texts = [...document.querySelectorAll('li.session-row .badge')].map((each) => each.textContent);
    return texts.length > 0 && texts.every((text) => text === 'stopped');
  })()`);
  await page.getByLabel("Status").selectOption("");
  await page.getByLabel("Filter by id, image or metadata").fill("needle");
  await holds(page, `document.querySelectorAll('li.session-row').length === 1`);
  await page.getByLabel("Filter by id, image or metadata").fill("no such thing");
  await page.getByRole("heading", { name: "No session matches" }).waitFor();
  await page.getByLabel("Filter by id, image or metadata").fill("");
  await holds(page, `document.querySelectorAll('li.session-row').length >= 3`);
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
