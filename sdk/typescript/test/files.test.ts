// Files of shells on a real server.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Client, ConnectionFailedError, Shell } from "../src/index.js";
import { client, onServer, problem, scripted, send, started } from "./fixture.js";

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

/**
 * Removes a file with a server that responds to the first request with this status and code, or not at all, and to
 * the others that there is no such file.
 */
async function removeAfter(first: [number, string] | null): Promise<void> {
  const stream = { text: "", encoding: "utf-8", bytes: 0, keptBytes: 0, nextOffset: 0 };
  const started = { jobId: "job_1", startJobId: "job_1", status: "completed", stdout: stream, stderr: stream };
  let count = 0;
  await scripted(
    (request, response) => {
      if (request.method !== "DELETE") return send(response, 200, started);
      count += 1;
      if (count > 1) send(response, 404, problem("path_not_found", 404));
      else if (first === null) request.socket.destroy();
      else send(response, first[0], { ...problem(first[1], first[0]), retryable: true }, { "retry-after": "0" });
    },
    async (url) => {
      const client = new Client({ url, token: "token" });
      await client.quota();
      await new Shell(client, "sh_1").files.remove("file");
    },
  );
  assert.equal(count, 2);
}

test("a missing file is not removed by an attempt without effect", async () => {
  for (const first of [[404, "path_not_found"], [409, "not_ready"], [429, "too_many"]] as [number, string][]) {
    await assert.rejects(removeAfter(first), { code: "path_not_found" }, first[1]);
  }
});

test("a missing file may be removed by an attempt without an outcome", async () => {
  await removeAfter(null);
  await removeAfter([502, "unknown"]);
  await removeAfter([503, "transfer_failed"]);
});
