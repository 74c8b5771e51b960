// Requests to the API.

import { ApiError, ConnectionFailedError } from "./errors.js";
import type { Problem, Quota, UserEvent, UserEvents } from "./models.js";
import { Backoff, newKey } from "./retry.js";
import { find, type Address, type Given } from "./server.js";
import { EventParser, type ServerEvent } from "./sse.js";

/** How long a response may take beyond the time that the request asks the server to wait. */
const TIMEOUT_MS = 15_000;
const ACCEPTED = 202;
const NO_CONTENT = 204;
const SEE_OTHER = 303;
/** How long a request for events, or for a result, waits for one. */
const EVENTS_WAIT_SECONDS = 20;
/** The server sends at least a comment in a third of this time. */
const SILENCE_MS = 45_000;

export interface ClientOptions extends Given {
  /** For how long a request is repeated, in seconds; 30 unless given. */
  retrySeconds?: number;
}

export interface RequestOptions {
  query?: Record<string, string | number | null | undefined>;
  body?: unknown;
  /** The name of a request that has its effect once; random unless given. */
  key?: string;
  retrySeconds?: number;
  signal?: AbortSignal | undefined;
}

/**
 * A server and a token for it. Without a `url`, it is that of EPHEMERAL_URL, else the server that runs on
 * this machine; `token` likewise.
 *
 * A request that fails because the server does not respond or has no room is repeated, under one
 * idempotency key, so that it has its effect once.
 */
export class Client {
  readonly retrySeconds: number;
  readonly #given: Given;
  #address: Promise<Address> | null = null;
  #hasResponded = false;

  constructor({ retrySeconds = 30, ...given }: ClientOptions = {}) {
    this.retrySeconds = retrySeconds;
    this.#given = given;
  }

  /** Whether the server is known to take the bytes of files itself. */
  takesBytes = false;

  /** Whether the server has ever responded. */
  get hasResponded(): boolean {
    return this.#hasResponded;
  }

  /** The URL of the server, without a slash at its end. */
  async url(): Promise<string> {
    return (await this.#find()).url;
  }

  /** How many of your sessions are active, may be, and wait. */
  quota(): Promise<Quota> {
    return this.get("/v1/quota");
  }

  /**
   * All events of all your shells, without an end: that a shell is ready or has ended, and that a command has
   * ended. Those after the event of this `seq`, which go back as far as the server keeps them, or those to come.
   */
  async *userEvents(after: number | "latest" = "latest", signal?: AbortSignal): AsyncGenerator<UserEvent, never> {
    for (let from: number | "latest" = after; ; ) {
      const query = { after: from, waitSeconds: EVENTS_WAIT_SECONDS };
      const page: UserEvents = await this.get("/v1/events", { query, signal });
      yield* page.data;
      from = page.nextAfter;
    }
  }

  get<T>(path: string, options: RequestOptions = {}): Promise<T> {
    return this.#request("GET", path, options);
  }

  /** Sends a request that has its effect once, however often it is repeated. */
  post<T>(path: string, body: unknown, options: RequestOptions = {}): Promise<T> {
    return this.#request("POST", path, { ...options, body, key: options.key ?? newKey() });
  }

  /**
   * Sends a request for files, once. The response is a success, and its body is not read. A server may have accepted
   * the request as a job: then it is the response of its result. A URL to which that redirects gets no token.
   */
  async transfer(path: string, init: RequestInit): Promise<Response> {
    let response = await this.#fetch(path, init);
    this.takesBytes ||= response.status !== ACCEPTED;
    for (;;) {
      const location = response.headers.get("location");
      if (location === null) return response;
      if (response.status === ACCEPTED) {
        response = await this.#fetch(`${location}/result?waitSeconds=${EVENTS_WAIT_SECONDS}`, {});
      } else if (response.status === SEE_OTHER) {
        return this.stored(location, {});
      } else {
        return response;
      }
    }
  }

  /** Sends a request to a URL that needs no token. */
  async stored(url: string, init: RequestInit): Promise<Response> {
    const response = await this.answered(fetch(url, { ...init, redirect: "error", credentials: "omit" }));
    if (response.ok) return response;
    await response.body?.cancel();
    throw new ApiError(response.status, { detail: "the store of objects refused the request; try again" });
  }

  /** The events of a stream behind `lastEventId`, until the connection ends. */
  async *events(path: string, lastEventId: string, signal?: AbortSignal): AsyncGenerator<ServerEvent, void> {
    const silence = new AbortController();
    const restart = () => setTimeout(() => silence.abort(new ConnectionFailedError("the server is silent")), SILENCE_MS);
    let timer = restart();
    const signals = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
    const headers = { accept: "text/event-stream", "last-event-id": lastEventId };
    let body: ReadableStreamDefaultReader<Uint8Array> | undefined;
    try {
      const response = await this.#fetch(path, { headers, signal: signals }, signal);
      body = response.body?.getReader();
      const parser = new EventParser();
      const decoder = new TextDecoder();
      for (;;) {
        const part = body && (await this.answered(body.read(), signal));
        if (!part || part.done) return;
        clearTimeout(timer);
        timer = restart();
        yield* parser.push(decoder.decode(part.value, { stream: true }));
      }
    } finally {
      clearTimeout(timer);
      await body?.cancel().catch(() => undefined);
    }
  }

  async #request<T>(method: string, path: string, options: RequestOptions): Promise<T> {
    const backoff = new Backoff((options.retrySeconds ?? this.retrySeconds) * 1000);
    for (;;) {
      try {
        return await this.#json<T>(method, path, options);
      } catch (error) {
        await backoff.pause(error, this.#hasResponded, options.signal);
      }
    }
  }

  async #json<T>(method: string, path: string, options: RequestOptions): Promise<T> {
    const { query = {}, body, key, signal } = options;
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    const limit = AbortSignal.timeout(TIMEOUT_MS + Number(query.waitSeconds ?? 0) * 1000);
    const headers: Record<string, string> = {};
    if (body !== undefined) headers["content-type"] = "application/json";
    if (key !== undefined) headers["idempotency-key"] = key;
    const init: RequestInit = { method, headers, signal: signal ? AbortSignal.any([signal, limit]) : limit };
    if (body !== undefined) init.body = JSON.stringify(body);
    const response = await this.#fetch(search.size > 0 ? `${path}?${search}` : path, init, signal);
    const text = await this.answered(response.text(), signal);
    if (response.status === NO_CONTENT) return undefined as T;
    try {
      return JSON.parse(text) as T;
    } catch {
      const detail = `the response is not JSON; is ${await this.url()} the URL of an ephemeral server?`;
      throw new ApiError(response.status, { detail });
    }
  }

  /** Sends a request; the response is a success. */
  async #fetch(path: string, init: RequestInit, signal?: AbortSignal): Promise<Response> {
    const { url, token } = await this.#find();
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${token}`);
    // A redirect is not followed: it would take the token elsewhere.
    const request = fetch(url + path, { ...init, headers, redirect: "manual", credentials: "omit", cache: "no-store" });
    const response = await this.answered(request, signal);
    this.#hasResponded = true;
    if (response.ok || response.status === SEE_OTHER) return response;
    const text = await response.text().catch(() => "");
    throw new ApiError(response.status, problem(text), retryAfter(response));
  }

  /** Distinguishes what the caller ended from a server that does not respond. */
  async answered<T>(response: Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await response;
    } catch (error) {
      if (signal?.aborted) throw error;
      const url = await this.url();
      throw new ConnectionFailedError(`no response from ${url}: ${reason(error)}; check that the server is running`, {
        cause: error,
      });
    }
  }

  #find(): Promise<Address> {
    this.#address ??= find(this.#given).catch((error: unknown) => {
      this.#address = null;
      throw error;
    });
    return this.#address;
  }
}

/** The innermost reason: fetch itself says only that it failed. */
function reason(error: unknown): string {
  let inner = error as { cause?: unknown; code?: string; message?: string };
  while (inner.cause instanceof Error) inner = inner.cause as typeof inner;
  return inner.message || inner.code || String(error);
}

function problem(text: string): Partial<Problem> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : null;
}
