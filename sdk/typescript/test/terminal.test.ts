// Terminals on a real server. The data channel itself is tested in web/test/unit.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Shell, WaitTimeoutError, type Terminal } from "../src/index.js";
import { client, onServer } from "./fixture.js";

async function rest(terminal: Terminal): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of terminal) parts.push(part);
  return Buffer.concat(parts).toString();
}

onServer("a program runs on a terminal, which has a new size and is opened again", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const terminal = await shell.terminal({ cols: 100, rows: 30 });
    terminal.write("stty size\n");
    await terminal.readUntil("30 100");
    terminal.resize(132, 43);
    terminal.write("stty size\n");
    await terminal.readUntil("43 132");
    terminal.close();
    const again = await terminal.job.terminal({ cols: 90 });
    await again.readUntil("43 132");
    again.write("exit 5\n");
    await rest(again);
    assert.equal((await again.wait()).exitCode, 5);
    await assert.rejects(again.job.terminal(), { code: "job_finished" });
  });
});

onServer("a program that is not written to is waited for", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const terminal = await shell.terminal({ command: ["cat"] });
    await assert.rejects(terminal.read({ timeoutSeconds: 0.05 }), WaitTimeoutError);
    terminal.write("ping\n");
    await terminal.readUntil("ping\r\nping\r\n");
    terminal.write(new Uint8Array([4]));
    assert.equal(await rest(terminal), "");
    assert.equal((await terminal.wait()).exitCode, 0);
  });
});

onServer("much input and output pass a terminal", async () => {
  const size = 1_000_000;
  const data = Buffer.from(Uint8Array.from({ length: size }, (_, index) => index));
  await Shell.use({ client: await client() }, async (shell) => {
    const terminal = await shell.terminal({ command: `stty raw -echo; echo ready; head -c ${size} | sha256sum` });
    await terminal.readUntil("ready");
    terminal.write(data);
    const written = await terminal.readUntil("-");
    assert.ok(written.includes(createHash("sha256").update(data).digest("hex")));
    terminal.close();
    const other = await shell.terminal({ command: "stty -opost -echo; echo ready; read -r; seq 200000" });
    await other.readUntil("ready");
    // Before, without a client, nothing but the end would have been kept.
    other.write("\n");
    const numbers = Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`).join("");
    assert.equal((await rest(other)).trimStart(), numbers);
  });
});

onServer("a terminal of a missing program is an error", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    await assert.rejects(shell.terminal({ command: ["no-such-program"] }), { code: "command_not_found" });
  });
});
