// What `run` does with a function that gets the output.

import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { Client, Shell, type Chunk } from "../src/index.js";
import { scripted, send } from "./fixture.js";

/** A shell with a command that writes "a" and "b"; `follow` gets the response that streams its output. */
async function withCommand(follow: (response: ServerResponse) => void, work: (shell: Shell) => Promise<void>): Promise<void> {
  const stream = { text: "ab", encoding: "utf-8", bytes: 2, keptBytes: 2, nextOffset: 2 };
  const job = { jobId: "job_1", status: "completed", exitCode: 0, stdout: stream, stderr: stream };
  await scripted(
    (request, response) => {
      if (request.method === "POST") return send(response, 202, { jobId: "job_1", sessionId: "sh_1", status: "queued" });
      if (!request.url?.endsWith("/stream")) return send(response, 200, job);
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const [offset, text] of [...["a", "b"].entries()]) {
        sendEvent(response, "output", { stream: "stdout", offset, text, nextOffset: offset + 1 });
      }
      follow(response);
    },
    (url) => work(new Shell(new Client({ url, token: "token" }), "sh_1")),
  );
}

function sendEvent(response: ServerResponse, name: string, data: unknown): void {
  response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

function end(response: ServerResponse): void {
  sendEvent(response, "end", { status: "completed" });
  response.end();
}

test("an asynchronous function gets one part of the output after the other", async () => {
  const seen: string[] = [];
  const onOutput = async ({ text }: Chunk) => {
    seen.push(`begin ${text}`);
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(`end ${text}`);
  };
  await withCommand(end, async (shell) => {
    assert.ok((await shell.run("command", { onOutput })).ok);
  });
  assert.deepEqual(seen, ["begin a", "end a", "begin b", "end b"]);
});

test("the error of an asynchronous function of output is thrown", async () => {
  const onOutput = ({ text }: Chunk) => Promise.reject(new RangeError(text));
  await withCommand(end, async (shell) => {
    await assert.rejects(shell.run("command", { onOutput }), new RangeError("a"));
  });
});

test("the stream is left when the function of output throws", { timeout: 10_000 }, async () => {
  let disconnected: Promise<void> | undefined;
  const follow = (response: ServerResponse) => {
    disconnected = new Promise((resolve) => response.on("close", resolve));
  };
  const onOutput = ({ text }: Chunk) => {
    throw new RangeError(text);
  };
  await withCommand(follow, async (shell) => {
    await assert.rejects(shell.run("command", { onOutput }), new RangeError("a"));
    assert.ok(disconnected);
    await disconnected;
  });
});
