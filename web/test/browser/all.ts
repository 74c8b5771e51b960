// The console in a real browser, on the real server with real shells.

import { test } from "node:test";
import { browserProgram } from "./page.js";
import { unfit } from "./server.js";

const reason = browserProgram === undefined ? "there is no Chromium; Debian's package is chromium" : unfit();
if (reason === null) {
  await import("./sign-in.js");
  await import("./deployed.js");
  await import("./output.js");
  await import("./pages.js");
  await import("./terminal.js");
  await import("./terminal-pictures.js");
  await import("./recording.js");
  await import("./faults.js");
  await import("./pictures.js");
} else {
  test("the console in a browser", (context) => context.skip(reason));
  process.stdout.write(`SKIPPED: the console in a browser: ${reason}\n`);
}
