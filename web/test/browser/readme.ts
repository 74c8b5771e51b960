// Copies two screenshots of the browser tests to the places where README shows them.

import { copyFileSync, mkdirSync, statSync } from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../../..");
const images = path.join(root, "docs/images");
const MAX_BYTES = 200 * 1024;

mkdirSync(images, { recursive: true });
for (const [from, to] of [["session-light", "console-session"], ["job-dark", "console-job"], ["terminal-two-dark", "console-terminal"]]) {
  const picture = path.join(root, "target/web/screenshots", `${from}.png`);
  const { size } = statSync(picture);
  if (size > MAX_BYTES) throw new Error(`${picture} has ${size} bytes, more than ${MAX_BYTES}`);
  copyFileSync(picture, path.join(images, `${to}.png`));
}
