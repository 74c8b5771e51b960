import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { reportAnswer } from "../../src/api/connection.js";
import { follow, type FollowEvent } from "../../src/api/follow.js";

const JOB = "job_1";
const streamOf = (bytes: number) => ({ bytes, keptBytes: bytes, truncated: false });

interface Seen {
  stdout: string;
  stderr: string;
  statuses: string[];
  ended: boolean;
}

type Reply = (request: Request) => Response | Promise<Response>;

/** Follows the job on a server that answers one request after the other. */
async function followOn(context: TestContext, replies: Reply[]): Promise<{ seen: Seen; requests: Request[] }> {
  const requests: Request[] = [];
  // Ends the repeated question whether the server is back.
  context.after(reportAnswer);
  context.mock.method(globalThis, "fetch", async (input: string, init: RequestInit) => {
    const { signal: _, ...rest } = init;
    if (input === "/v1/quota") throw new TypeError("no server");
    const request = new Request(`http://server${input}`, rest);
    requests.push(request);
    const reply = replies[Math.min(requests.length, replies.length) - 1];
    if (!reply) throw new TypeError("no server");
    return reply(request);
  });
  const seen: Seen = { stdout: "", stderr: "", statuses: [], ended: false };
  const onEvent = (event: FollowEvent) => {
    if (event.kind === "output") seen[event.stream] += new TextDecoder().decode(event.bytes);
    else if (event.kind === "gap") seen[event.stream] += `[${event.missing}]`;
    else if (event.kind === "status") seen.statuses.push(event.status);
    else seen.ended = true;
  };
  await follow(JOB, onEvent, new AbortController().signal);
  return { seen, requests };
}

const event = (kind: string, id: string, data: unknown) => `event: ${kind}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
const output = (stream: "stdout" | "stderr", offset: number, text: string) => ({
  stream,
  offset,
  text,
  encoding: "utf-8",
  nextOffset: offset + text.length,
});
const json = (body: unknown, status = 200): Reply => () => Response.json(body, { status });
const events = (...parts: string[]): Reply => () =>
  new Response(parts.join(""), { headers: { "content-type": "text/event-stream" } });

/** Sends these parts, then breaks the connection. */
const broken = (...parts: string[]): Reply => () =>
  new Response(
    new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      },
      pull(controller) {
        controller.error(new TypeError("the connection was lost"));
      },
    }),
  );

test("marks divide merged output among both streams, in its order", async (context) => {
  const marks = [{ offset: 3, stream: "stderr" }, { offset: 5, stream: "stdout" }, { offset: 6 }];
  const merged = { ...output("stdout", 3, "eeou"), marks };
  const pieces: [string, string, boolean][] = [];
  context.after(reportAnswer);
  const sent = events(event("output", "3.0", output("stdout", 0, "out")), event("output", "7.0", merged));
  const replies = [sent, () => new Response(null, { status: 204 }), json({ status: "completed" })];
  context.mock.method(globalThis, "fetch", async (input: string) => {
    return replies.shift()?.(new Request(`http://server${input}`)) ?? Response.error();
  });
  const onEvent = (seen: FollowEvent) => {
    if (seen.kind === "output") pieces.push([seen.stream, new TextDecoder().decode(seen.bytes), seen.isMerged]);
  };
  await follow(JOB, onEvent, new AbortController().signal);
  assert.deepEqual(pieces, [
    ["stdout", "out", false],
    ["stderr", "ee", true],
    ["stdout", "o", true],
    ["stdout", "u", true],
  ]);
});

test("the output of both streams arrives, then the end", async (context) => {
  const { seen, requests } = await followOn(context, [
    events(
      event("status", "0.0", { status: "running", attempt: 1 }),
      event("output", "2.0", output("stdout", 0, "a\n")),
      event("output", "2.2", output("stderr", 0, "e\n")),
      event("end", "2.2.end", { jobId: JOB, status: "completed" }),
    ),
  ]);
  assert.deepEqual(seen, { stdout: "a\n", stderr: "e\n", statuses: ["running"], ended: true });
  assert.equal(requests.length, 1);
  assert.equal(requests[0]?.headers.get("last-event-id"), null);
});

test("a lost connection is continued after the last event, and nothing is shown twice", async (context) => {
  const { seen, requests } = await followOn(context, [
    broken(event("output", "3.0", output("stdout", 0, "one")), "event: output\nid: 9"),
    events(
      event("output", "3.0", output("stdout", 0, "one")),
      event("output", "6.0", output("stdout", 3, "two")),
      event("end", "6.0.end", {}),
    ),
  ]);
  assert.equal(seen.stdout, "onetwo");
  assert.equal(requests[1]?.headers.get("last-event-id"), "3.0");
});

test("a server that is gone for a while is asked again", async (context) => {
  const gone: Reply = () => Promise.reject(new TypeError("connection refused"));
  const { seen, requests } = await followOn(context, [gone, gone, events(event("end", "0.0.end", {}))]);
  assert.equal(seen.ended, true);
  assert.ok(requests.length >= 3);
});

test("bytes that are not UTF-8 arrive as they are", async (context) => {
  const part = { stream: "stdout", offset: 0, text: btoa("\xc3\xa4"), encoding: "base64", nextOffset: 2 };
  const { seen } = await followOn(context, [events(event("output", "2.0", part), event("end", "2.0.end", {}))]);
  assert.equal(seen.stdout, "ä");
});

test("a deployment without streams is polled", async (context) => {
  const none = { title: "Not Acceptable", detail: "", status: 406, code: "streaming_unavailable", retryable: false };
  const running = { jobId: JOB, status: "running", stdout: streamOf(3), stderr: streamOf(0) };
  const done = { jobId: JOB, status: "completed", stdout: streamOf(6), stderr: streamOf(2) };
  const { seen, requests } = await followOn(context, [
    json(none, 406),
    json(running),
    json(output("stdout", 0, "one")),
    json(done),
    json(output("stdout", 3, "two")),
    json(output("stderr", 0, "er")),
  ]);
  assert.deepEqual(seen, { stdout: "onetwo", stderr: "er", statuses: ["running", "completed"], ended: true });
  const paths = requests.map((request) => new URL(request.url).pathname + new URL(request.url).search);
  assert.deepEqual(paths.slice(1, 3), [
    "/v1/jobs/job_1?waitSeconds=2",
    "/v1/jobs/job_1/output?stream=stdout&offset=0&limit=262144",
  ]);
});

test("a job that is not there is an error", async (context) => {
  const missing = { title: "Not Found", detail: "no such job", status: 404, code: "not_found", retryable: false };
  await assert.rejects(followOn(context, [json(missing, 404)]), /no such job/);
});

test("a stream whose end was sent before is completed by the job's record", async (context) => {
  const { seen } = await followOn(context, [
    broken(event("output", "3.0.end", output("stdout", 0, "one"))),
    () => new Response(null, { status: 204 }),
    json({ jobId: JOB, status: "completed" }),
  ]);
  assert.deepEqual([seen.stdout, seen.ended], ["one", true]);
});

const gapEvent = (id: string, from: number, to: number) => event("gap", id, { stream: "stdout", from, to });

test("a gap in the stream is said once, and output continues behind it", async (context) => {
  const { seen } = await followOn(context, [
    broken(event("output", "3.0", output("stdout", 0, "one")), gapEvent("3.0", 3, 10)),
    events(
      gapEvent("3.0", 3, 10),
      event("output", "13.0", output("stdout", 10, "two")),
      event("end", "13.0.end", {}),
    ),
  ]);
  assert.equal(seen.stdout, "one[7]two");
});

test("a gap is found by polling too", async (context) => {
  const none = { title: "Not Acceptable", detail: "", status: 406, code: "streaming_unavailable", retryable: false };
  const stdout = { bytes: 13, keptBytes: 6, truncated: true, gap: { from: 3, to: 10 } };
  const { seen, requests } = await followOn(context, [
    json(none, 406),
    json({ jobId: JOB, status: "completed", stdout, stderr: streamOf(0) }),
    json(output("stdout", 0, "one")),
    json(output("stdout", 10, "two")),
  ]);
  assert.deepEqual([seen.stdout, seen.ended, requests.length], ["one[7]two", true, 4]);
});

test("only the end of a stream may be kept", async (context) => {
  const none = { title: "Not Acceptable", detail: "", status: 406, code: "streaming_unavailable", retryable: false };
  const stdout = { bytes: 13, keptBytes: 3, truncated: true, gap: { from: 0, to: 10 } };
  const { seen } = await followOn(context, [
    json(none, 406),
    json({ jobId: JOB, status: "completed", stdout, stderr: streamOf(0) }),
    json(output("stdout", 10, "end")),
  ]);
  assert.equal(seen.stdout, "[10]end");
});
