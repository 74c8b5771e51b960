// The console in a real browser, on the real server with real shells.

import { test } from "node:test";
import { browserProgram } from "./page.js";
import { unfit } from "./server.js";

const reason = browserProgram === undefined ? "there is no Chromium; Debian's package is chromium" : unfit();
if (reason === null) await import("./console.js");
else test("the console in a browser", (context) => context.skip(reason));
if (reason !== null) process.stdout.write(`SKIPPED: the console in a browser: ${reason}\n`);
