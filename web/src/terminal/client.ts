// One terminal of a session: opens it, opens it again when its connection is lost, and knows its state.

import { get, post, Refused, Unreachable } from "../api/client.js";
import { recoveries } from "../api/connection.js";
import { newKey } from "../api/submit.js";
import { isFinal, type Job } from "../api/types.js";
import { Store } from "../store.js";
import { Channel, type Closed, type Size } from "../../../sdk/typescript/src/channel.js";
import { reachable } from "./url.js";

export type TerminalState =
  /** `hasRun` if the terminal was shown before. */
  | { kind: "connecting"; job: Job | null; hasRun: boolean }
  | { kind: "connected" }
  /** The connection was lost; it is opened again at this time (milliseconds of the clock). */
  | { kind: "lost"; retryAt: number; message: string }
  | { kind: "detached" }
  /** The server refused the permission to open the terminal, with this reason unless it is empty. */
  | { kind: "refused"; message: string }
  | { kind: "ended"; job: Job; message: string }
  | { kind: "failed"; error: Error };

/** What shows a terminal. */
export interface Screen {
  /** Shows output; calls `done` afterwards. */
  write: (bytes: Uint8Array, done?: () => void) => void;
  /** Clears everything: what is kept of the output follows, and may have been shown before. */
  repeat: () => void;
}

const WAIT_SECONDS = 25;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 8000;
/** How long the record of a command that has ended may still say that it runs. */
const END_DELAY_MS = 3000;
/** The permission may be refused so often before the user is asked. */
const MAX_REFUSALS = 2;
/** The largest width and height that the server accepts. Characters. */
const MAX_SIDE = 1000;
const LARGEST_OUTPUT = 262_144;

export class TerminalClient {
  readonly state = new Store<TerminalState>({ kind: "connecting", job: null, hasRun: false });
  /** The id of the terminal's job, once the server has accepted it. */
  readonly jobId: Store<string | null>;
  readonly #sessionId: string;
  /** The same for each attempt, so that a lost answer does not open a second terminal. */
  readonly #key = newKey();
  #screen: Screen | null = null;
  #size: Size = { cols: 80, rows: 24 };
  #channel: Channel | null = null;
  #running: AbortController | null = null;
  #hasRun = false;
  readonly #isRecorded: boolean;
  /** Whether this client is the first of its terminal. */
  readonly #isNew: boolean;

  /** A new terminal of the session, recorded or not, or that of a job that runs. */
  constructor(sessionId: string, jobId: string | null, isRecorded = false) {
    this.#sessionId = sessionId;
    this.#isRecorded = isRecorded;
    this.#isNew = jobId === null;
    this.jobId = new Store(jobId);
  }

  /** Shows the terminal on this screen. */
  start(screen: Screen, size: Size): void {
    this.#screen = screen;
    this.#size = limited(size);
    this.open();
  }

  /** Opens the terminal now: for the first time, again after a detachment, or earlier than planned. */
  open(): void {
    const { kind } = this.state.value;
    if (this.#channel !== null || kind === "ended") return;
    this.#running?.abort();
    this.#running = new AbortController();
    void this.#run(this.#running.signal);
  }

  type(bytes: Uint8Array): void {
    this.#channel?.write(bytes);
  }

  resize(size: Size): void {
    this.#size = limited(size);
    this.#channel?.resize(this.#size);
  }

  /** Leaves the terminal; its program goes on. */
  detach(): void {
    this.#stop();
    if (this.state.value.kind !== "ended") this.state.set({ kind: "detached" });
  }

  /** Ends the terminal's program; the end arrives like any other. */
  async end(): Promise<void> {
    const id = this.jobId.value;
    if (id !== null) await post("/v1/jobs/{id}/cancel", { id });
  }

  /** Releases everything; the program of the terminal goes on. */
  dispose(): void {
    this.#stop();
    this.#screen = null;
  }

  #stop(): void {
    this.#running?.abort();
    this.#running = null;
    this.#channel?.leave();
    this.#channel = null;
  }

  /** Opens the terminal and shows it until it has ended or is left. */
  async #run(signal: AbortSignal): Promise<void> {
    let delay = FIRST_RETRY_MS;
    let refusals = 0;
    while (!signal.aborted) {
      let message = "";
      try {
        this.state.set({ kind: "connecting", job: null, hasRun: this.#hasRun });
        const opened = await this.#connect(signal);
        if (signal.aborted) return;
        if (opened === "ended") return;
        if (opened.wasOpen) delay = FIRST_RETRY_MS;
        const { closed } = opened;
        if (closed.kind === "refused") {
          message = closed.message;
          if (++refusals >= MAX_REFUSALS) return this.state.set({ kind: "refused", message });
        } else {
          refusals = 0;
        }
        if (closed.kind === "unreachable") message = "the WebSocket can’t be opened";
        if (closed.kind === "ended") {
          message = closed.message;
          if (await this.#showEnd(message, signal)) return;
        }
      } catch (error) {
        if (signal.aborted) return;
        const isFinalError = error instanceof Refused && error.problem.status < 500 && error.problem.status !== 429;
        if (isFinalError) return this.state.set({ kind: "failed", error });
        if (!(error instanceof Unreachable)) message = (error as Error).message;
      }
      if (signal.aborted) return;
      this.state.set({ kind: "lost", retryAt: Date.now() + delay, message });
      await pause(delay, signal);
      delay = Math.min(delay * 2, MAX_RETRY_MS);
    }
  }

  /** Opens a channel and shows it until it is closed; "ended" if the job had ended before. */
  async #connect(signal: AbortSignal): Promise<{ closed: Closed; wasOpen: boolean } | "ended"> {
    const job = await this.#offered(signal);
    if (isFinal(job) || !job.terminal) {
      await this.#showStored(job, signal);
      return "ended";
    }
    const { streamUrl, tokenValue } = job.terminal;
    return new Promise((resolve) => {
      let wasOpen = false;
      const onClosed = (closed: Closed) => {
        this.#channel = null;
        resolve({ closed, wasOpen });
      };
      const onOpen = () => {
        wasOpen = true;
        // Of a terminal that ran before, the server sends what it has kept first.
        if (this.#hasRun || !this.#isNew) this.#screen?.repeat();
        this.#hasRun = true;
        this.state.set({ kind: "connected" });
      };
      const onLost = () => this.state.set({ kind: "lost", retryAt: Date.now(), message: "" });
      const onResumed = () => this.state.set({ kind: "connected" });
      const onOutput = (bytes: Uint8Array, done: () => void) => this.#screen?.write(bytes, done);
      const offer = { streamUrl: reachable(streamUrl, location), tokenValue };
      this.#channel = new Channel(offer, this.#size, { onOpen, onLost, onResumed, onOutput, onClosed });
    });
  }

  /** The job, once its terminal can be opened or it has ended. */
  async #offered(signal: AbortSignal): Promise<Job> {
    let id = this.jobId.value;
    if (id === null) {
      const params = { id: this.#sessionId, body: { ...this.#size, record: this.#isRecorded } };
      const accepted = await post("/v1/sessions/{id}/terminal", params, { idempotencyKey: this.#key, signal });
      id = accepted.jobId;
      this.jobId.set(id);
    } else {
      try {
        await post("/v1/jobs/{id}/terminal", { id }, { signal });
      } catch (error) {
        const hasEnded = error instanceof Refused && error.problem.code === "job_finished";
        if (!hasEnded) throw error;
      }
    }
    for (let wait = 0; ; wait = WAIT_SECONDS) {
      const job = await get("/v1/jobs/{id}", { id, query: { waitSeconds: wait } }, { signal });
      if (isFinal(job) || job.terminal) return job;
      if (!signal.aborted) this.state.set({ kind: "connecting", job, hasRun: this.#hasRun });
    }
  }

  /** Shows how the job has ended; false if it still runs. */
  async #showEnd(message: string, signal: AbortSignal): Promise<boolean> {
    const id = this.jobId.value;
    if (id === null) return false;
    const deadline = Date.now() + END_DELAY_MS;
    for (;;) {
      const job = await get("/v1/jobs/{id}", { id, query: { waitSeconds: 1 } }, { signal });
      if (isFinal(job)) {
        this.state.set({ kind: "ended", job, message });
        return true;
      }
      if (Date.now() > deadline) return false;
      // The wait is short if another client may open the terminal.
      await pause(50, signal);
    }
  }

  /** Shows the output that is kept of a job that has ended. */
  async #showStored(job: Job, signal: AbortSignal): Promise<void> {
    const { bytes, keptBytes } = job.stdout;
    let offset = bytes - keptBytes;
    this.#screen?.repeat();
    while (offset < bytes) {
      const query = { stream: "stdout", offset, limit: LARGEST_OUTPUT } as const;
      const part = await get("/v1/jobs/{id}/output", { id: job.jobId, query }, { signal });
      this.#screen?.write(decode(part));
      if (part.nextOffset <= offset) break;
      offset = part.nextOffset;
    }
    this.state.set({ kind: "ended", job, message: "" });
  }
}

function decode({ text, encoding }: { text: string; encoding: string }): Uint8Array {
  if (encoding !== "base64") return new TextEncoder().encode(text);
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function limited({ cols, rows }: Size): Size {
  const limit = (side: number) => Math.min(Math.max(1, side), MAX_SIDE);
  return { cols: limit(cols), rows: limit(rows) };
}

/** Waits; less if the server has come back, and not if `signal` is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      unsubscribe();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const unsubscribe = recoveries.subscribe(done);
    signal.addEventListener("abort", done);
  });
}
