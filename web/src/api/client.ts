// Requests to the API, with the types of its document.

import { renewToken } from "../sign-in/oauth.js";
import { signOut, token } from "../sign-in/token.js";
import { learnTime } from "./clock.js";
import { probeWith, reportAnswer, reportLost } from "./connection.js";
import type { paths } from "./schema.js";
import type { Problem } from "./types.js";

/** Where the API is: at the origin that serves this page. */
const BASE = "";
/** How long an answer may take beyond the time that the request itself asks the server to wait. */
const TIMEOUT_MS = 15_000;

type Method = "get" | "post";
type PathsWith<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never;
}[keyof paths];
type Operation<P extends keyof paths, M extends Method> = paths[P] extends Record<M, infer O> ? O : never;
type Json<R> = R extends { content: { "application/json": infer T } } ? T : never;
/** A request that does not wait for its job is answered 202 where the API has that. */
type Answer<O> = O extends { responses: infer R }
  ? 202 extends keyof R
    ? Json<R[202]>
    : Json<R[keyof R & 200]>
  : never;
type Body<O> = O extends { requestBody?: { content: { "application/json": infer T } } } ? T : never;
type Query<O> = O extends { parameters: { query?: infer Q } } ? NonNullable<Q> : never;

/** The server refused a request, with its reason. */
export class Refused extends Error {
  constructor(
    readonly problem: Problem,
    readonly retryAfter: number | null,
  ) {
    super(problem.detail || problem.title);
  }
}

/** The server did not answer. */
export class Unreachable extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

export interface Options {
  signal?: AbortSignal;
}

export interface PostOptions extends Options {
  /** The same key makes a repeated request have one effect. */
  idempotencyKey?: string;
}

/** Reads from the API. */
export function get<P extends PathsWith<"get">>(
  path: P,
  params: { id?: string; query?: Query<Operation<P, "get">> } = {},
  options: Options = {},
): Promise<Answer<Operation<P, "get">>> {
  const query = (params.query ?? {}) as Record<string, string | number | undefined>;
  const waitMs = Number(query.waitSeconds ?? 0) * 1000;
  return json(address(path, params.id, query), { method: "GET" }, options, waitMs);
}

/** Sends a request to the API. */
export function post<P extends PathsWith<"post">>(
  path: P,
  params: { id?: string; body?: Body<Operation<P, "post">> } = {},
  options: PostOptions = {},
): Promise<Answer<Operation<P, "post">>> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (options.idempotencyKey) headers["idempotency-key"] = options.idempotencyKey;
  const init = { method: "POST", headers, body: JSON.stringify(params.body ?? {}) };
  return json(address(path, params.id, {}), init, options, 0);
}

/** Opens a job's stream of events, after the event `lastEventId`. */
export async function openStream(jobId: string, lastEventId: string, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (lastEventId) headers["last-event-id"] = lastEventId;
  return send(address("/v1/jobs/{id}/stream", jobId, {}), { headers, signal });
}

/** What is recorded of a terminal: an asciicast. */
export async function getRecording(jobId: string, signal: AbortSignal): Promise<string> {
  const response = await send(address("/v1/jobs/{id}/recording", jobId, {}), { signal });
  return answered(response.text(), signal);
}

/** Exchanges a one-time code for the token that it stands for. */
export async function exchangeCode(code: string): Promise<string> {
  const init = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code }),
  };
  const answer = (await json("/console/sign-in", init, {}, 0)) as { token: string };
  return answer.token;
}

/** Whether the server accepts this token. */
export async function accepts(candidate: string): Promise<boolean> {
  const headers = { authorization: `Bearer ${candidate}` };
  const response = await answered(fetch(`${BASE}/v1/quota`, { ...COMMON, headers, signal: timeout(0) }));
  reportAnswer();
  return response.ok;
}

const COMMON: RequestInit = { cache: "no-store", credentials: "omit", redirect: "error" };

probeWith(() => get("/v1/quota"));

function address(path: string, id: string | undefined, query: Record<string, string | number | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) search.set(name, String(value));
  }
  const filled = path.replace("{id}", encodeURIComponent(id ?? ""));
  return search.size > 0 ? `${filled}?${search}` : filled;
}

async function json<T>(url: string, init: RequestInit, options: Options, waitMs: number): Promise<T> {
  const limit = timeout(waitMs);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  const response = await send(url, { ...init, signal });
  return answered(response.json() as Promise<T>, options.signal);
}

/** Sends a request; the answer is a success. */
async function send(url: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  await answered(renewToken());
  const used = token.value;
  if (used !== null) headers.set("authorization", `Bearer ${used}`);
  const response = await answered(fetch(BASE + url, { ...COMMON, ...init, headers }), init.signal ?? undefined);
  // A proxy answers so for a server that is gone.
  if (response.status === 502 || response.status === 504) {
    reportLost();
    throw new Unreachable();
  }
  learnTime(response.headers.get("date"));
  reportAnswer();
  if (response.ok) return response;
  const refused = new Refused(await problem(response), retryAfter(response));
  if (response.status === 401 && used !== null && used === token.value) {
    signOut("The server does not accept your token any more.");
  }
  throw refused;
}

/** Distinguishes what the caller ended from a server that does not answer. */
async function answered<T>(answer: Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const ended = signal?.aborted && !isTimeout(signal.reason);
    if (ended) throw error;
    reportLost();
    throw new Unreachable();
  }
}

function timeout(waitMs: number): AbortSignal {
  return AbortSignal.timeout(TIMEOUT_MS + waitMs);
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}

function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : null;
}

async function problem(response: Response): Promise<Problem> {
  const body: unknown = await response.json().catch(() => null);
  if (typeof body === "object" && body !== null && "title" in body) return body as Problem;
  return {
    type: "about:blank",
    title: response.statusText || `HTTP ${response.status}`,
    status: response.status,
    detail: `The server answered with HTTP ${response.status}.`,
    code: "internal",
    retryable: response.status >= 500,
    requestId: response.headers.get("x-request-id") ?? "",
  };
}
