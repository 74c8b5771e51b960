// A program on a terminal.

import { Channel, type Closed } from "./channel.js";
import { TerminalClosedError, WaitTimeoutError } from "./errors.js";
import type { Job } from "./job.js";
import { isFinal, type Job as JobRecord } from "./models.js";
import { concat, type Result } from "./output.js";
import { reachable } from "./server.js";

const WAIT_SECONDS = 25;

export interface OpenOptions {
  cols?: number;
  rows?: number;
  /** The class for connections. Node.js has one since version 22; before, that of the package `ws` fits. */
  WebSocket?: new (url: string) => WebSocket;
}

/**
 * A terminal of a shell. Iterate over it, or call `read`, for what the program writes.
 *
 * `close` leaves the terminal and does not end the program: `Job.terminal` opens it again. What was read is
 * acknowledged, so that a program waits for its slow reader.
 */
export class Terminal implements AsyncIterable<Uint8Array> {
  #channel!: Channel;
  #unread: { bytes: Uint8Array; done: () => void }[] = [];
  #closed: Closed | null = null;
  #changed: () => void = () => undefined;

  private constructor(readonly job: Job) {}

  static async open(job: Job, options: OpenOptions = {}): Promise<Terminal> {
    const Socket = webSocket(options);
    const offer = await offered(job);
    if (!offer.terminal) {
      await job.result(offer); // Says why the program could not be run, if so.
      throw new TerminalClosedError(`the program of ${job.id} has ended: ${offer.status}`);
    }
    const { streamUrl, tokenValue } = offer.terminal;
    const access = { streamUrl: reachable(streamUrl, await job.client.url()), tokenValue };
    const terminal = new Terminal(job);
    await new Promise<void>((resolve, reject) => {
      const events = {
        onOpen: resolve,
        // The channel resumes a lost connection by itself.
        onLost: () => undefined,
        onResumed: () => undefined,
        onOutput: (bytes: Uint8Array, done: () => void) => {
          terminal.#unread.push({ bytes, done });
          terminal.#changed();
        },
        onClosed: (closed: Closed) => {
          terminal.#closed = closed;
          terminal.#changed();
          if (closed.kind === "ended") return resolve();
          const reason = closed.kind === "refused" && closed.message !== "" ? `: ${closed.message}` : "";
          const text = `the terminal of ${job.id} can't be opened: the connection is ${closed.kind}${reason}`;
          reject(new TerminalClosedError(text));
        },
      };
      const size = { cols: options.cols ?? 80, rows: options.rows ?? 24 };
      terminal.#channel = new Channel(access, size, events, (url) => new Socket(url));
    });
    return terminal;
  }

  /**
   * What the program has written next; empty after its end. Throws `WaitTimeoutError` if nothing comes in
   * time.
   */
  async read({ timeoutSeconds }: { timeoutSeconds?: number } = {}): Promise<Uint8Array> {
    const deadline = performance.now() + (timeoutSeconds ?? Infinity) * 1000;
    while (this.#unread.length === 0) {
      if (this.#closed?.kind === "ended") return new Uint8Array();
      if (this.#closed) throw new TerminalClosedError(`the connection to the terminal of ${this.job.id} was lost`);
      const left = deadline - performance.now();
      if (left <= 0) throw new WaitTimeoutError(`the program has written nothing in ${timeoutSeconds} s`);
      await this.#change(left);
    }
    const parts = this.#unread.splice(0);
    parts.forEach(({ done }) => done());
    return concat(parts.map(({ bytes }) => bytes));
  }

  /** What the program writes up to the first part that completes `text`, as UTF-8. */
  async readUntil(text: string, { timeoutSeconds = 60 }: { timeoutSeconds?: number } = {}): Promise<string> {
    const deadline = performance.now() + timeoutSeconds * 1000;
    const decoder = new TextDecoder();
    let written = "";
    while (!written.includes(text)) {
      const part = await this.read({ timeoutSeconds: Math.max(0, deadline - performance.now()) / 1000 });
      if (part.length === 0) throw new TerminalClosedError(`the program has ended without writing ${JSON.stringify(text)}`);
      written += decoder.decode(part, { stream: true });
    }
    return written;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const part = await this.read();
      if (part.length === 0) return;
      yield part;
    }
  }

  /** Types this. */
  write(data: string | Uint8Array): void {
    this.#channel.write(typeof data === "string" ? new TextEncoder().encode(data) : data);
  }

  resize(cols: number, rows: number): void {
    this.#channel.resize({ cols, rows });
  }

  /** Waits for the program's end, as `Job.wait` does. */
  wait(options: { timeoutSeconds?: number } = {}): Promise<Result> {
    return this.job.wait(options);
  }

  /** Leaves the terminal; its program goes on. */
  close(): void {
    this.#channel.leave();
    this.#closed ??= { kind: "lost" };
    this.#changed();
  }

  /** Resolves when something has arrived or ended, or after `ms`. */
  #change(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = Number.isFinite(ms) ? setTimeout(resolve, ms) : undefined;
      this.#changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** The class for connections. Call it before a terminal is asked for that could not be opened. */
export function webSocket(options: OpenOptions): new (url: string) => WebSocket {
  const Socket = options.WebSocket ?? globalThis.WebSocket;
  if (!Socket) throw new TerminalClosedError("this runtime has no WebSocket; pass one as the option WebSocket");
  return Socket;
}

/** The job, once its terminal can be opened or it has ended. */
async function offered(job: Job): Promise<JobRecord> {
  for (;;) {
    const offer = await job.client.get<JobRecord>(`/v1/jobs/${job.id}`, { query: { waitSeconds: WAIT_SECONDS } });
    if (isFinal(offer) || offer.terminal) return offer;
  }
}
