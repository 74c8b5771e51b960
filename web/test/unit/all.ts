// Runs all unit tests in one process: Node.js 20 finds no tests by a pattern.

import { readdirSync } from "node:fs";
import "./environment.js";

for (const file of readdirSync(import.meta.dirname)) {
  if (file.endsWith(".test.ts")) await import(`./${file}`);
}
