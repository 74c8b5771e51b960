// A command that a shell runs.

import type { Client } from "./client.js";
import { ApiError, ConnectionFailedError, WaitTimeoutError } from "./errors.js";
import { isFinal, type Job as JobRecord, type Output, type OutputStream } from "./models.js";
import { Position, resultOf, storedEnd, STREAMS, type Chunk, type Content, type Part, type Result } from "./output.js";
import { Backoff, sleep } from "./retry.js";
import { Terminal, webSocket, type OpenOptions } from "./terminal.js";

/** The longest time for which the server holds a response open. */
export const WAIT_SECONDS = 25;
const POLL_SECONDS = 1;
const PAGE_BYTES = 1 << 20;

export interface Abortable {
  /** Ends the waiting, not the command. */
  signal?: AbortSignal | undefined;
}

/** A command that was submitted to a shell. Its output and its outcome outlive the shell. */
export class Job {
  constructor(
    readonly client: Client,
    readonly id: string,
    readonly shellId: string,
  ) {}

  /** The job as the API shows it, with the beginning of its output. */
  info(): Promise<JobRecord> {
    return this.#get(0);
  }

  /**
   * Waits for the command's end. Throws `WaitTimeoutError` if that does not come in time; the command runs
   * on. Throws `JobFailedError` if the command could not be run or its outcome is not known.
   */
  async wait({ timeoutSeconds, signal }: { timeoutSeconds?: number } & Abortable = {}): Promise<Result> {
    const deadline = performance.now() + (timeoutSeconds ?? Infinity) * 1000;
    for (;;) {
      const left = Math.max(0, deadline - performance.now());
      const job = await this.#get(Math.min(WAIT_SECONDS, Math.floor(left / 1000)), signal);
      if (isFinal(job)) return this.result(job);
      if (left === 0) throw new WaitTimeoutError(`${this.id} has not ended in ${timeoutSeconds} s`);
      if (left < 1000) await sleep(Math.min(left, 50), signal);
    }
  }

  /**
   * The output as it comes, from its beginning to the command's end. Continues when the server is back after
   * a restart.
   */
  async *stream({ signal }: Abortable = {}): AsyncGenerator<Chunk, void> {
    const position = new Position();
    const backoff = new Backoff(this.client.retrySeconds * 1000);
    let hasStreams = true;
    for (;;) {
      try {
        for await (const part of hasStreams ? this.#events(position, signal) : this.#pages(position, signal)) {
          backoff.restart();
          if (part === "end") return yield* position.end();
          yield part;
        }
        throw new ConnectionFailedError(`the connection to ${await this.client.url()} was lost`);
      } catch (error) {
        if (error instanceof ApiError && error.code === "streaming_unavailable") hasStreams = false;
        else await backoff.pause(error, this.client.hasResponded, signal);
      }
    }
  }

  /** Ends the command, queued or running. */
  async cancel(): Promise<void> {
    await this.client.post(`/v1/jobs/${this.id}/cancel`, {});
  }

  /** Sends a signal to the running command, such as `"INT"`. */
  async signal(signal: string | number): Promise<void> {
    await this.client.post(`/v1/jobs/${this.id}/signal`, { signal });
  }

  /** Opens the terminal of a running job, again or beside other clients. */
  async terminal(options: OpenOptions = {}): Promise<Terminal> {
    webSocket(options);
    await this.client.post(`/v1/jobs/${this.id}/terminal`, {});
    return Terminal.open(this, options);
  }

  /** The result of a final job, with all of its output that is kept. */
  async result(job: JobRecord): Promise<Result> {
    return resultOf(job, await this.#output(job, "stdout"), await this.#output(job, "stderr"));
  }

  #get(waitSeconds: number, signal?: AbortSignal): Promise<JobRecord> {
    return this.client.get(`/v1/jobs/${this.id}`, { query: { waitSeconds }, signal });
  }

  /** The parts of what is kept of a stream. The job has its beginning. */
  async #output(job: JobRecord, stream: OutputStream): Promise<Content[]> {
    const parts: Content[] = [job[stream]];
    const end = storedEnd(job[stream]);
    let offset = job[stream].nextOffset ?? 0;
    while (offset < end) {
      const part = await this.#page(stream, offset);
      if (part.nextOffset <= offset) break;
      parts.push(part);
      offset = part.nextOffset;
    }
    return parts;
  }

  #page(stream: OutputStream, offset: number, signal?: AbortSignal): Promise<Output> {
    const query = { stream, offset, limit: PAGE_BYTES };
    return this.client.get(`/v1/jobs/${this.id}/output`, { query, signal });
  }

  /** The rest of the output by the job's event stream. */
  async *#events(position: Position, signal?: AbortSignal): AsyncGenerator<Chunk | "end", void> {
    for await (const event of this.client.events(`/v1/jobs/${this.id}/stream`, position.eventId, signal)) {
      if (event.event === "output") yield* position.take(JSON.parse(event.data) as Part);
      if (event.event === "gap") {
        const { stream, to } = JSON.parse(event.data) as { stream: OutputStream; to: number };
        position.skip(stream, to);
      }
      if (event.event === "end") return yield "end";
    }
  }

  /** The same where the deployment has no streams. */
  async *#pages(position: Position, signal?: AbortSignal): AsyncGenerator<Chunk | "end", void> {
    for (;;) {
      const job = await this.#get(POLL_SECONDS, signal);
      for (const stream of STREAMS) {
        const end = storedEnd(job[stream]);
        while (position.offset(stream) < end) {
          const part = await this.#page(stream, position.offset(stream), signal);
          if (part.nextOffset <= position.offset(stream)) break;
          yield* position.take(part);
        }
      }
      if (isFinal(job)) return yield "end";
    }
  }
}
