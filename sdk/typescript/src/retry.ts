// Which requests are repeated, and when.

import { ApiError, ConnectionFailedError } from "./errors.js";

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 2000;

/** A random idempotency key. `crypto.randomUUID` exists only on https and loopback. */
export function newKey(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return `typescript-${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The pauses before the repetitions of one request: at most `limitMs` in all. */
export class Backoff {
  #deadline: number | null = null;
  #delay = FIRST_DELAY_MS;

  constructor(readonly limitMs: number) {}

  /** Forgets earlier attempts: the server has responded. */
  restart(): void {
    this.#deadline = null;
    this.#delay = FIRST_DELAY_MS;
  }

  /**
   * Waits before the next attempt. Throws the error if there is none. A server that has never responded is
   * not restarting: it is not there.
   */
  async pause(error: unknown, hasResponded: boolean, signal?: AbortSignal): Promise<void> {
    const mayHelp =
      error instanceof ApiError
        ? [429, 502, 503, 504].includes(error.status) && error.retryable
        : error instanceof ConnectionFailedError && hasResponded;
    if (!mayHelp) throw error;
    const now = performance.now();
    this.#deadline ??= now + this.limitMs;
    const asked = error instanceof ApiError ? (error.retryAfter ?? 0) * 1000 : 0;
    const delay = Math.max(this.#delay, asked);
    if (now + delay > this.#deadline) throw error;
    this.#delay = Math.min(this.#delay * 2, MAX_DELAY_MS);
    // Many clients of one server don't come back at the same moment.
    await sleep(delay + Math.random() * Math.min(delay, 1000) * 0.2, signal);
  }
}

/** Waits; rejects with its reason when `signal` is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const aborted = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}
