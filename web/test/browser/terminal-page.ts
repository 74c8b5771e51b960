// The steps that tests of terminals share.

import type { Page } from "playwright-core";

export const rows = (page: Page) => page.locator('[role="tabpanel"]:not([hidden]) .xterm-rows');
export const status = (page: Page) => page.locator('.terminals [role="tabpanel"]:not([hidden]) .terminal-status');
export const input = (page: Page, name = "Terminal 1") => page.getByRole("textbox", { name });

/** An expression that holds while the terminal that is shown contains this text. */
export const shows = (text: string) =>
  `document.querySelector('[role="tabpanel"]:not([hidden]) .xterm-rows')?.innerText.replaceAll("\\u00a0", " ").includes(${JSON.stringify(text)})`;

export async function openTerminal(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Open terminal" }).click();
  await status(page).getByText("Connected").waitFor();
}

export async function type(page: Page, line: string): Promise<void> {
  await page.keyboard.type(line);
  await page.keyboard.press("Enter");
}
