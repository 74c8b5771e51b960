// Errors, requests that are repeated, and servers that die.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ApiError, Client, ConnectionFailedError, ServerNotFoundError, Shell, type Chunk } from "../src/index.js";
import { find, reachable } from "../src/server.js";
import { client, onServer, problem, scripted, send, server, started } from "./fixture.js";

const QUOTA = { active: 0, limit: 1, queued: 0 };

onServer("a wrong value is named, and a wrong token is not shown", async () => {
  await assert.rejects(Shell.start({ client: await client(), ttlSeconds: -1 }), (error: ApiError) => {
    assert.equal(error.code, "invalid_request");
    assert.match(error.message, /\/ttlSeconds/);
    return error.errors[0]?.pointer === "/ttlSeconds";
  });
  const { url } = await server();
  await assert.rejects(new Client({ url, token: "wrong-secret" }).quota(), (error: ApiError) => {
    assert.doesNotMatch(String(error), /wrong-secret/);
    return error.status === 401 && error.code === "unauthenticated";
  });
});

test("a server that was never there is an error at once", async () => {
  const began = performance.now();
  const absent = new Client({ url: "http://127.0.0.1:9", token: "token" });
  await assert.rejects(absent.quota(), (error: Error) => {
    assert.match(error.message, /127\.0\.0\.1:9: .+; check that/);
    return error instanceof ConnectionFailedError;
  });
  assert.ok(performance.now() - began < 5000);
});

test("without a server or with a malformed token, the error says what to do", async () => {
  const environment = { ...process.env };
  for (const name of ["EPHEMERAL_URL", "EPHEMERAL_TOKEN"]) delete process.env[name];
  try {
    await assert.rejects(new Client({ dataDir: "/nowhere" }).quota(), (error: Error) => {
      assert.match(error.message, /ephemeral up.*EPHEMERAL_URL/);
      return error instanceof ServerNotFoundError;
    });
    await assert.rejects(new Client({ url: "http://127.0.0.1:9", dataDir: "/nowhere" }).quota(), /EPHEMERAL_TOKEN/);
    const malformed = new Client({ url: "http://127.0.0.1:9", token: "se cret\n" });
    await assert.rejects(malformed.quota(), (error: Error) => !error.message.includes("cret"));
    process.env.EPHEMERAL_URL = "https://example.com/";
    process.env.EPHEMERAL_TOKEN = "other";
    assert.equal(await new Client().url(), "https://example.com");
  } finally {
    process.env = environment;
  }
});

test("the token of the data directory goes to its own server only", async () => {
  const environment = { ...process.env };
  for (const name of ["EPHEMERAL_URL", "EPHEMERAL_TOKEN"]) delete process.env[name];
  const dataDir = mkdtempSync(join(tmpdir(), "ephemeral-token-"));
  try {
    writeFileSync(join(dataDir, "token"), "secret\n");
    for (const url of ["http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1"]) {
      assert.deepEqual(await find({ url, dataDir }), { url, token: "secret" });
    }
    for (const url of ["https://example.com", "http://127.0.0.1.example.com", "http://127.example.com", "nonsense"]) {
      await assert.rejects(find({ url, dataDir }), /no token for/, url);
    }
    writeFileSync(join(dataDir, "server.json"), '{"url":"https://example.com"}');
    assert.equal((await find({ url: "https://example.com/", dataDir })).token, "secret");
    await assert.rejects(find({ url: "http://example.com", dataDir }), /no token for/);
  } finally {
    process.env = environment;
    rmSync(dataDir, { recursive: true });
  }
});

test("a request is repeated under the same key", async () => {
  const keys: unknown[] = [];
  await scripted(
    (request, response) => {
      keys.push(request.headers["idempotency-key"]);
      if (keys.length === 1) send(response, 503, problem("unavailable", 503), { "retry-after": "0" });
      else if (keys.length === 2) send(response, 502, "<html>a proxy</html>");
      else if (keys.length === 3) request.socket.destroy();
      else send(response, 202, { jobId: "job_1", sessionId: "sh_1" });
    },
    async (url) => {
      const shell = await Shell.start({ client: new Client({ url, token: "token" }), ttlSeconds: 60 });
      assert.equal(shell.id, "sh_1");
    },
  );
  assert.equal(keys.length, 4);
  assert.equal(new Set(keys).size, 1);
  assert.match(String(keys[0]), /^typescript-[0-9a-f]{32}$/);
});

test("Retry-After is waited for, if there is time", async () => {
  const times: number[] = [];
  await scripted(
    (_, response) => {
      times.push(performance.now());
      if (times.length === 1) send(response, 429, problem("too_many_requests", 429), { "retry-after": "1" });
      else send(response, 200, QUOTA);
    },
    async (url) => assert.deepEqual(await new Client({ url, token: "token" }).quota(), QUOTA),
  );
  assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 1000);
  await scripted(
    (_, response) => send(response, 429, problem("quota_exceeded", 429), { "retry-after": "5" }),
    async (url) => {
      const hasty = new Client({ url, token: "token", retrySeconds: 2 });
      await assert.rejects(hasty.quota(), (error: ApiError) => error.retryAfter === 5 && error.code === "quota_exceeded");
    },
  );
});

test("a refusal is not repeated, and a redirect not followed", async () => {
  const paths: unknown[] = [];
  await scripted(
    (request, response) => {
      paths.push(request.url);
      if (request.url === "/v1/quota") send(response, 302, "", { location: "/elsewhere" });
      else send(response, 410, problem("session_ended", 410));
    },
    async (url) => {
      const found = new Client({ url, token: "token" });
      await assert.rejects(found.quota(), { status: 302 });
      await assert.rejects(new Shell(found, "sh_1").run("true"), { code: "session_ended" });
    },
  );
  assert.deepEqual(paths, ["/v1/quota", "/v1/shell/execute?waitSeconds=25"]);
});

test("what is not the API is an error", async () => {
  await scripted(
    (_, response) => send(response, 200, "<html>hello</html>"),
    async (url) => assert.rejects(new Client({ url, token: "token" }).quota(), /not JSON; is http/),
  );
});

test("a start that is aborted leaves no shell", async () => {
  const requests: [unknown, unknown][] = [];
  const controller = new AbortController();
  await scripted(
    (request, response) => {
      requests.push([request.url, request.headers["idempotency-key"]]);
      if (requests.length === 2) controller.abort();
      else send(response, 200, { ...QUOTA, jobId: "job_1", sessionId: "sh_1" });
    },
    async (url) => {
      const found = new Client({ url, token: "token" });
      await found.quota();
      await assert.rejects(Shell.start({ client: found, signal: controller.signal }), { name: "AbortError" });
    },
  );
  assert.deepEqual(requests.slice(1).map(([path]) => path), ["/v1/shell/start", "/v1/shell/start", "/v1/shell/stop"]);
  assert.equal(requests[1]?.[1], requests[2]?.[1]);
});

test("a data channel is reached like the server", () => {
  assert.equal(reachable("ws://127.0.0.1:8787/v1/c/x?r=p", "https://tunnel/base"), "wss://tunnel/base/v1/c/x?r=p");
  assert.equal(reachable("wss://ssm.example.com/v1/x?r=p", "https://api"), "wss://ssm.example.com/v1/x?r=p");
});

onServer("a stream continues after a restart of the server, and ends with an error if that stays away", async () => {
  const own = await started([]);
  try {
    const found = new Client({ url: own.url, token: own.token, retrySeconds: 20 });
    const shell = await Shell.start({ client: found });
    const job = await shell.submit("for i in $(seq 40); do echo $i; sleep 0.05; done");
    let text = "";
    let restart: Promise<void> | null = null;
    for await (const chunk of job.stream()) {
      text += chunk.text;
      restart ??= own.kill().then(() => own.start());
    }
    await restart;
    assert.equal(text, Array.from({ length: 40 }, (_, index) => `${index + 1}\n`).join(""));
    const hasty = new Client({ url: own.url, token: own.token, retrySeconds: 0.5 });
    const other = (await Shell.attach(shell.id, { client: hasty })).submit("echo started; sleep 600");
    const read = async (): Promise<Chunk[]> => {
      const chunks: Chunk[] = [];
      for await (const chunk of (await other).stream()) {
        chunks.push(chunk);
        await own.kill();
      }
      return chunks;
    };
    await assert.rejects(read(), ConnectionFailedError);
    await own.start();
  } finally {
    await own.clear();
  }
});
