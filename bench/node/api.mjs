// The peer of P8: start, execute and one job as a Node.js developer would write them, with the same
// records, the same conditions and the same notifications as ours.
import { randomBytes } from "node:crypto";
import {
  DynamoDBClient,
  GetItemCommand,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";

const table = process.env.EPHEMERAL_TABLE;
const limit = Number(process.env.EPHEMERAL_MAX_ACTIVE_SESSIONS ?? 5);
const dynamo = new DynamoDBClient({});
const sqs = new SQSClient({});

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SIZES = { 256: [512, 1024, 2048], 512: [1024, 2048, 3072, 4096] };

class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    Object.assign(this, { status, code });
  }
}

function ulid(now = Date.now()) {
  let bits = (BigInt(now) << 80n) | BigInt(`0x${randomBytes(10).toString("hex")}`);
  let text = "";
  for (let i = 0; i < 26; i++, bits >>= 5n) text = DIGITS[Number(bits & 31n)] + text;
  return text;
}

function whole(body, name, low, high, otherwise) {
  const value = body[name] ?? otherwise;
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new Problem(400, "invalid_request", `/${name} must be an integer from ${low} to ${high}`);
}

function onlyThese(body, known) {
  const other = Object.keys(body).find((name) => !known.includes(name));
  if (other) throw new Problem(400, "invalid_request", `/${other} is not a field of this request`);
}

// Records are JSON in one attribute; what conditions and indexes look at stands beside it.
function record(id, value, { version, ...more }) {
  const attributes = { record: JSON.stringify(value), ...more };
  const names = Object.keys(attributes);
  return {
    Update: {
      TableName: table,
      Key: { pk: { S: id }, sk: { S: "record" } },
      ConditionExpression: "attribute_not_exists(#version)",
      UpdateExpression: `SET #version = :version, ${names.map((n) => `#${n} = :${n}`).join(", ")}`,
      ExpressionAttributeNames: Object.fromEntries(["version", ...names].map((n) => [`#${n}`, n])),
      ExpressionAttributeValues: {
        ":version": { N: String(version) },
        ...Object.fromEntries(
          names.map((n) => [`:${n}`, n === "open" ? { BOOL: true } : { S: attributes[n] }]),
        ),
      },
    },
  };
}

function put(pk, sk, more = {}) {
  const Item = { pk: { S: pk }, sk: { S: sk }, ...more };
  return { Put: { TableName: table, Item, ConditionExpression: "attribute_not_exists(pk)" } };
}

async function commit(items, refusals) {
  try {
    await dynamo.send(
      new TransactWriteItemsCommand({ TransactItems: items, ClientRequestToken: ulid() }),
    );
  } catch (error) {
    const at = error.CancellationReasons?.findIndex((r) => r.Code === "ConditionalCheckFailed");
    throw refusals[at] ?? error;
  }
}

async function read(id) {
  const Key = { pk: { S: id }, sk: { S: "record" } };
  const got = await dynamo.send(
    new GetItemCommand({ TableName: table, Key, ConsistentRead: true }),
  );
  return got.Item && JSON.parse(got.Item.record.S);
}

async function owned(user, id, what) {
  const value = await read(id);
  if (value?.user !== user) throw new Problem(404, "not_found", `there is no such ${what}`);
  return value;
}

async function ring(lane, message, group) {
  const QueueUrl = process.env[`EPHEMERAL_QUEUE_${lane}`];
  const MessageBody = JSON.stringify(message);
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId: group }));
}

function newJob(user, session, type, at, more = {}) {
  const job = { id: `job_${ulid()}`, user, session, type, status: "queued", createdAt: at, ...more };
  const beside = { list: session, listKey: job.id, due: "due#0", dueKey: `${at}#${session}` };
  return [job, record(job.id, job, { version: 1, ...beside })];
}

function accepted(job) {
  const links = { job: `/v1/jobs/${job.id}`, session: `/v1/sessions/${job.session}` };
  const { id: jobId, session: sessionId, type, status, createdAt } = job;
  const body = { jobId, sessionId, type, status, createdAt, links };
  return reply(202, body, { location: links.job, "retry-after": "1" });
}

async function start(user, body) {
  onlyThese(body, ["image", "size", "ttlSeconds", "idleTimeoutSeconds", "env", "metadata", "network"]);
  const ttl = whole(body, "ttlSeconds", 1, 28800, 3600);
  const size = { cpu: 256, memoryMiB: 512, ...body.size };
  if (!SIZES[size.cpu]?.includes(size.memoryMiB))
    throw new Problem(400, "invalid_request", `/size can't be had: ${JSON.stringify(size)}`);
  const now = Date.now();
  const [id, at] = [`sh_${ulid(now)}`, new Date(now).toISOString()];
  const [job, jobItem] = newJob(user, id, "start", at);
  const expiresAt = new Date(now + ttl * 1000).toISOString();
  const { image = "default", env = {}, metadata = {}, network = "egress" } = body;
  const spec = { image, size, ttl, env, metadata, network };
  const session = { id, user, state: "queued", spec, startJob: job.id, createdAt: at, expiresAt };
  const beside = { status: "queued", list: `user#${user}`, listKey: id, due: "due#0", dueKey: at };
  const slots = {
    Update: {
      TableName: table,
      Key: { pk: { S: `user#${user}` }, sk: { S: "slots" } },
      ConditionExpression: "attribute_not_exists(active) OR active < :limit",
      UpdateExpression: "ADD active :one",
      ExpressionAttributeValues: { ":one": { N: "1" }, ":limit": { N: String(limit) } },
    },
  };
  const entry = { seq: 1, at, what: "accepted", to: "queued", actor: "user" };
  await commit(
    [
      slots,
      record(id, session, { version: 1, open: true, ...beside }),
      put(id, "entry#0000000001", { record: { S: JSON.stringify(entry) } }),
      jobItem,
    ],
    [new Problem(429, "quota_exceeded", `${limit} sessions are active, which is the limit`)],
  );
  await ring("CONTROL", { type: "startSession", session: id }, id);
  return accepted(job);
}

async function execute(user, body) {
  onlyThese(body, ["sessionId", "command", "cwd", "env", "user", "stdin", "timeoutSeconds"]);
  const timeout = whole(body, "timeoutSeconds", 1, 28800, 600);
  const { sessionId, command } = body;
  const argv = typeof command === "string" ? ["sh", "-c", command] : command;
  if (!Array.isArray(argv) || !argv.every((one) => typeof one === "string") || argv.length === 0)
    throw new Problem(400, "invalid_request", "/command must be a text or a list of texts");
  const session = await owned(user, String(sessionId), "session");
  const at = new Date().toISOString();
  const work = { argv, cwd: body.cwd, env: body.env ?? {}, stdin: body.stdin ?? "", timeout };
  const [job, jobItem] = newJob(user, sessionId, "execute", at, { work });
  const open = {
    ConditionCheck: {
      TableName: table,
      Key: { pk: { S: sessionId }, sk: { S: "record" } },
      ConditionExpression: "#open = :true",
      ExpressionAttributeNames: { "#open": "open" },
      ExpressionAttributeValues: { ":true": { BOOL: true } },
    },
  };
  const ended = new Problem(410, "session_ended", "the session takes no more jobs");
  await commit([open, jobItem, put(sessionId, `open#serial#${job.id}`)], [ended]);
  const ready = session.state === "ready" || (await read(sessionId))?.state === "ready";
  if (ready) await ring("EXEC", { type: "runJob", session: sessionId }, sessionId);
  return accepted(job);
}

async function job(user, id) {
  const { id: jobId, session: sessionId, type, status, createdAt } = await owned(user, id, "job");
  const none = { text: "", encoding: "utf-8", nextOffset: 0, bytes: 0, keptBytes: 0, truncated: false };
  const body = { jobId, sessionId, type, status, createdAt, attempt: 0, stdout: none, stderr: none };
  return reply(200, body);
}

function reply(statusCode, body, more = {}) {
  const headers = { "content-type": "application/json", "x-request-id": ulid(), ...more };
  return { statusCode, headers, body: JSON.stringify(body) };
}

function problem({ status = 500, code = "internal", message }) {
  const detail = status === 500 ? "something went wrong" : message;
  const body = { type: "about:blank", title: code, status, detail, code, retryable: status >= 500 };
  return reply(status, body, { "content-type": "application/problem+json" });
}

async function route(event) {
  const { method } = event.requestContext.http;
  const claims = event.requestContext.authorizer?.jwt?.claims;
  if (claims?.token_use !== "access") throw new Problem(401, "unauthorized", "no access token");
  const text = event.isBase64Encoded
    ? Buffer.from(event.body ?? "", "base64").toString()
    : (event.body ?? "");
  const body = text === "" ? {} : JSON.parse(text);
  switch (`${method} ${event.rawPath.replace(/^(\/v1\/jobs\/)[^/]+$/, "$1")}`) {
    case "POST /v1/shell/start":
      return start(claims.sub, body);
    case "POST /v1/shell/execute":
      return execute(claims.sub, body);
    case "GET /v1/jobs/":
      return job(claims.sub, event.rawPath.split("/").pop());
    default:
      throw new Problem(404, "not_found", "there is nothing here");
  }
}

export async function handler(event) {
  try {
    return await route(event);
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error);
    return problem(error);
  }
}
