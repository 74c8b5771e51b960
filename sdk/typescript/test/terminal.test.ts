// Terminals on a real server. The data channel itself is tested in web/test/unit.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { encode, newId } from "../src/frame.js";
import { Client, Shell, TerminalClosedError, WaitTimeoutError, type Terminal } from "../src/index.js";
import { client, onServer, scripted, send } from "./fixture.js";

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

/** A WebSocket whose server refuses the token and leaves the connection open. */
class RefusingSocket {
  readyState = 1;
  onopen: () => void = () => undefined;
  onmessage: (message: { data: ArrayBuffer }) => void = () => undefined;

  constructor() {
    const header = { messageType: "channel_closed", created: 1, sequence: 0, flags: 0, messageId: newId(), payloadType: 0 };
    const payload = new TextEncoder().encode('{"Output":"the token was used"}');
    void encode(header, payload).then(({ buffer }) => {
      this.onopen();
      this.onmessage({ data: buffer });
    });
  }

  send(): void {}

  close(): void {
    this.readyState = 3;
  }
}

test("a terminal that is refused is an error with the reason at once", async () => {
  const job = { jobId: "job_1", status: "running", terminal: { streamUrl: "ws://127.0.0.1/channel", tokenValue: "used" } };
  await scripted(
    (_, response) => send(response, 200, job),
    async (url) => {
      const shell = new Shell(new Client({ url, token: "token" }), "sh_1");
      const opened = shell.job("job_1").terminal({ WebSocket: RefusingSocket as unknown as typeof WebSocket });
      await assert.rejects(opened, (error: TerminalClosedError) => {
        assert.equal(error.message, "the terminal of job_1 can't be opened: the connection is refused: the token was used");
        return error instanceof TerminalClosedError;
      });
    },
  );
});
