/** One process for all tests: most of a run is the loading of the CDK. */

import { readdirSync } from 'node:fs';

for (const file of readdirSync(import.meta.dirname)) {
  if (file.endsWith('.test.ts')) await import(`./${file}`);
}
