// Files of shells on a real server.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Client, ConnectionFailedError, Shell } from "../src/index.js";
import { client, onServer, started } from "./fixture.js";

onServer("files are written, read, listed and removed", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    // The shell is waited for.
    const stored = await shell.files.write("in/grün.sh", "echo grün\n", { mode: 0o755 });
    assert.deepEqual([stored.size, stored.mode], [11, "0755"]);
    assert.equal((await shell.run("in/grün.sh")).stdout, "grün\n");
    assert.equal(await shell.files.readText("/home/shelluser/in/grün.sh"), "echo grün\n");
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    await shell.files.write("in/bytes", bytes);
    assert.deepEqual(await shell.files.read("in/bytes"), bytes);
    const listed = await shell.files.list("in");
    assert.deepEqual(listed.entries.map((each) => each.path), ["bytes", "grün.sh"]);
    await assert.rejects(shell.files.remove("in"), { code: "directory_not_empty" });
    await shell.files.remove("in", { recursive: true });
    await assert.rejects(shell.files.read("in/bytes"), { code: "path_not_found" });
    await assert.rejects(shell.files.write("/etc/passwd", ""), { code: "permission_denied" });
  });
});

onServer("large files and directories pass in pieces", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const data = new Uint8Array(20 << 20).fill(120);
    await shell.files.write("large", new Blob([data]));
    let size = 0;
    for await (const piece of await shell.files.stream("large")) size += piece.length;
    assert.equal(size, data.length);
    const archive = new Uint8Array(execFileSync("tar", ["-c", "package.json"], { cwd: `${import.meta.dirname}/..` }));
    assert.ok(await shell.files.unpack(archive, "project"));
    assert.match(await shell.files.readText("project/package.json"), /ephemeral-shells/);
    const packed = await shell.files.pack("project");
    assert.match(execFileSync("tar", ["-t"], { input: packed, encoding: "utf8" }), /package\.json/);
  });
});

onServer("a server that dies is an error of a transfer, and leaves the old file", async () => {
  const own = await started([]);
  try {
    const shell = await Shell.start({ client: new Client({ url: own.url, token: own.token, retrySeconds: 0.5 }) });
    await shell.files.write("file", "old");
    await own.kill();
    await assert.rejects(shell.files.write("file", "new"), ConnectionFailedError);
    await own.start();
    assert.equal(await shell.files.readText("file"), "old");
  } finally {
    await own.clear();
  }
});
