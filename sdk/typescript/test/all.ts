// Runs all tests in one process, so that they share a server: Node.js 20 finds no tests by a pattern.

import { readdirSync } from "node:fs";

for (const file of readdirSync(import.meta.dirname)) {
  if (file.endsWith(".test.ts")) await import(`./${file}`);
}
