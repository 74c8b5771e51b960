// Builds the console again and compares it with the committed bundle, which the program embeds.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const web = path.resolve(import.meta.dirname, "..");
const dist = path.join(web, "dist");
const MAX_GZIPPED = 400 * 1024;

function files(root: string): Map<string, Buffer> {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => path.join(entry.parentPath, entry.name)).sort();
  return new Map(paths.map((file) => [path.relative(root, file), readFileSync(file)]));
}

test("web/dist is what the sources build to; `npm run build --prefix web` writes it", async () => {
  const outDir = mkdtempSync(path.join(tmpdir(), "ephemeral-dist-"));
  try {
    await build({ root: web, logLevel: "error", build: { outDir, emptyOutDir: true } });
    const [committed, built] = [files(dist), files(outDir)];
    assert.deepEqual([...committed.keys()], [...built.keys()]);
    for (const [name, contents] of built) assert.ok(committed.get(name)?.equals(contents), `${name} differs`);
  } finally {
    rmSync(outDir, { recursive: true, force: true });
  }
});

test("the bundle has at most 400 KiB gzipped", () => {
  const size = [...files(dist).values()].reduce((sum, contents) => sum + gzipSync(contents).length, 0);
  process.stdout.write(`measured: the bundle has ${(size / 1024).toFixed(1)} KiB gzipped\n`);
  assert.ok(size <= MAX_GZIPPED, `${size} bytes`);
});

test("the licence of each library in the bundle is beside it", () => {
  const notices = files(dist).get("assets/third-party-notices.txt")?.toString("utf8") ?? "";
  const { dependencies } = JSON.parse(readFileSync(path.join(web, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  for (const [name, version] of Object.entries(dependencies)) {
    const [, text] = notices.split(`${name} ${version} (MIT)`);
    assert.match(text ?? "", /^\s+(The MIT License \(MIT\)\s+)?Copyright \(c\)/, name);
  }
});

test("the bundle names no other server", () => {
  for (const [name, contents] of files(dist)) {
    // Licences are shown as plain text.
    if (name.endsWith(".txt")) continue;
    const found = contents.toString("utf8").match(/https?:\/\/[\w.-]+/g) ?? [];
    // Names of the standards for SVG and MathML, which are never requested.
    const others = found.filter((url) => url !== "http://www.w3.org");
    assert.deepEqual(others, [], name);
  }
});
