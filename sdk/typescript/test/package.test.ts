// The package itself: what is generated, documented and packed.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { onServer, server } from "./fixture.js";

const root = path.resolve(import.meta.dirname, "..");
const read = (...parts: string[]) => readFileSync(path.join(root, ...parts), "utf8");
const run = promisify(execFile);

/** A directory of its own for the test, removed afterwards. */
async function inDirectory(work: (directory: string) => Promise<void> | void): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), "ephemeral-sdk-"));
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Runs a program of the sources, as a newcomer's program would be run with the package. */
async function output(file: string): Promise<string> {
  const tsx = path.join(root, "node_modules/tsx/dist/cli.mjs");
  const env = {
    ...process.env,
    EPHEMERAL_DATA_DIR: (await server()).dataDir,
    TSX_TSCONFIG_PATH: path.join(root, "tsconfig.test.json"),
    NODE_OPTIONS: "--experimental-websocket --disable-warning=ExperimentalWarning",
  };
  const { stdout, stderr } = await run(process.execPath, [tsx, file], { env, timeout: 300_000 });
  assert.equal(stderr, "");
  return stdout;
}

test("the generated types are those of the API's document", () =>
  inDirectory((directory) => {
    const file = path.join(directory, "schema.ts");
    execFileSync("npm", ["run", "--silent", "schema", "--", file], { cwd: root, stdio: "pipe" });
    assert.ok(readFileSync(file).equals(readFileSync(path.join(root, "src/schema.ts"))), "run npm run generate");
  }));

onServer("the examples of the README work", async () => {
  const blocks = [...read("README.md").matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1] ?? "");
  const expected = [...blocks.join("").matchAll(/^ *\/\/= (.*)$/gm)].map((match) => match[1]);
  assert.ok(expected.length > 10);
  // Beside the sources, so that they are found by the package's name, and types are checked.
  const file = path.join(root, "test/readme-examples.generated.ts");
  writeFileSync(file, blocks.join("\n"));
  try {
    execFileSync("npx", ["tsc", "--noEmit", "--project", "tsconfig.test.json"], { cwd: root, stdio: "pipe" });
    assert.deepEqual((await output(file)).trimEnd().split("\n"), expected);
  } finally {
    rmSync(file);
  }
});

for (const file of readdirSync(path.join(root, "examples"))) {
  const name = path.basename(file, ".ts");
  onServer(`the example ${name} runs, and prints the same as that in Python`, async () => {
    const expected = read("../python/examples", `${name.replace("-", "_")}.out`);
    assert.equal(await output(path.join(root, "examples", file)), expected);
  });
}

const PROGRAM = `
import { Shell } from "ephemeral-shells";
await Shell.use({ ttlSeconds: 60 }, async (sh) => {
  const job = await sh.submit("echo one; sleep 0.1; echo two");
  let text = "";
  for await (const chunk of job.stream()) text += chunk.text;
  const terminal = globalThis.WebSocket ? await sh.terminal({ command: "read -r line; exit 7" }) : null;
  terminal?.write("\\n");
  console.log(text + ((await terminal?.wait())?.exitCode ?? 7));
});
`;

onServer("the packed package runs in an empty folder, by each runtime that is installed", () =>
  inDirectory(async (directory) => {
    execFileSync("npm", ["pack", "--silent", "--pack-destination", directory], { cwd: root, stdio: "pipe" });
    const [archive = ""] = readdirSync(directory);
    const names = execFileSync("tar", ["-tzf", path.join(directory, archive)], { encoding: "utf8" }).trim().split("\n");
    for (const name of ["LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts"]) {
      assert.ok(names.includes(`package/${name}`), name);
    }
    assert.ok(names.every((name) => /^package\/(LICENSE|README\.md|package\.json|dist\/[a-z]+\.(js|d\.ts))$/.test(name)));
    writeFileSync(path.join(directory, "package.json"), "{}");
    execFileSync("npm", ["install", "--silent", "--offline", `./${archive}`], { cwd: directory, stdio: "pipe" });
    writeFileSync(path.join(directory, "program.mjs"), PROGRAM);
    const env = { ...process.env, EPHEMERAL_DATA_DIR: (await server()).dataDir };
    const runtimes: Record<string, string[]> = {
      node: [process.execPath, "program.mjs"],
      deno: [runtime("deno"), "run", "--quiet", "--no-prompt", "--allow-all", "program.mjs"],
      bun: [runtime("bun"), "run", "program.mjs"],
    };
    for (const [name, [program = "", ...args]] of Object.entries(runtimes)) {
      if (!program) {
        process.stdout.write(`SKIPPED: the SDK for TypeScript on ${name}: not installed\n`);
        continue;
      }
      const { stdout } = await run(program, args, { cwd: directory, env, timeout: 60_000 });
      assert.equal(stdout, "one\ntwo\n7\n", name);
    }
  }),
);

/** The program of another runtime, which scripts/test-sdk installs; empty if it can't be had. */
function runtime(name: string): string {
  const program = path.join(root, "../../target/sdk/runtimes/node_modules/.bin", name);
  try {
    execFileSync(program, ["--version"], { stdio: "pipe" });
    return program;
  } catch {
    return "";
  }
}
