/// <reference lib="esnext.disposable" preserve="true" />
// A disposable shell.

import { Client } from "./client.js";
import { Files } from "./files.js";
import { Job, WAIT_SECONDS, type Abortable } from "./job.js";
import {
  isFinal,
  type Accepted,
  type Event,
  type Execute,
  type Job as JobRecord,
  type Process,
  type Processes,
  type Program,
  type Session,
  type SessionStatus,
  type Start,
  type Timeline,
} from "./models.js";
import type { Chunk, Result } from "./output.js";
import { newKey } from "./retry.js";
import { Terminal, webSocket, type OpenOptions } from "./terminal.js";

/** How long a stop is tried when the caller was interrupted. */
const INTERRUPTED_SECONDS = 5;
const PAGE = 100;

interface WithClient {
  /** One for the server of this machine or of the environment unless given. */
  client?: Client | undefined;
}

/** The options of a new shell, by the names of the API. */
export type StartOptions = Omit<Start, "command"> & WithClient & Abortable;

/** The options of a command, by the names of the API. */
export type CommandOptions = Omit<
  Execute,
  "sessionId" | "command" | "interactive" | "cols" | "rows" | "idleSeconds" | "ifNotReady"
>;

/** The options of a terminal, by the names of the API. */
export type TerminalOptions = OpenOptions &
  Pick<Execute, "cwd" | "env" | "user" | "timeoutSeconds" | "idleSeconds"> & {
    /** The user's login shell unless given. */
    command?: Program;
  };

export interface RunOptions extends CommandOptions, Abortable {
  /** Throw `CommandError` unless the command exits with 0. */
  check?: boolean;
  /**
   * Called with each part of the output as it comes. A promise that it returns is waited for. What it throws ends
   * `run` but not the command: to cancel that then, `submit` it, and follow `Job.stream` instead.
   */
  onOutput?: (chunk: Chunk) => unknown;
}

/** A disposable shell. `await using` and `Shell.use` stop it, also after an error. */
export class Shell {
  /** The key that signs webhooks, if the server has made one for this shell. */
  webhookSecret: string | null = null;

  constructor(
    readonly client: Client,
    readonly id: string,
  ) {}

  /** Reads and writes files of the shell. */
  get files(): Files {
    return new Files(this);
  }

  /** Starts a shell. Commands may be sent at once: they run when it is ready. */
  static async start({ client = new Client(), signal, ...body }: StartOptions = {}): Promise<Shell> {
    const key = newKey();
    try {
      const accepted = await client.post<Accepted>("/v1/shell/start", body, { key, signal });
      const shell = new Shell(client, accepted.sessionId);
      shell.webhookSecret = accepted.webhookSecret ?? null;
      return shell;
    } catch (error) {
      if (signal?.aborted && client.hasResponded) await stopStarted(client, body, key);
      throw error;
    }
  }

  /** Starts a shell, calls `work` with it, and stops it whatever happens. */
  static async use<T>(options: StartOptions, work: (shell: Shell) => Promise<T>): Promise<T> {
    const shell = await Shell.start(options);
    let result: T;
    try {
      result = await work(shell);
    } catch (error) {
      // The error of the work is the one to throw.
      const stop = { sessionId: shell.id };
      await shell.client
        .post("/v1/shell/stop", stop, { retrySeconds: INTERRUPTED_SECONDS })
        .catch(() => undefined);
      throw error;
    }
    await shell.stop({ wait: false });
    return result;
  }

  /** The shell of this id. Throws an `ApiError` with the code `not_found` if there is none. */
  static async attach(id: string, { client = new Client() }: WithClient = {}): Promise<Shell> {
    const shell = new Shell(client, id);
    await shell.info();
    return shell;
  }

  /** Your newest sessions, newest first. */
  static async list(options: { status?: SessionStatus; limit?: number } & WithClient = {}): Promise<Session[]> {
    const { client = new Client(), status, limit = PAGE } = options;
    const sessions: Session[] = [];
    let cursor: string | null = null;
    while (sessions.length < limit) {
      const query = { status, cursor, limit: Math.min(PAGE, limit - sessions.length) };
      const page: { data: Session[]; nextCursor: string | null } = await client.get("/v1/sessions", { query });
      sessions.push(...page.data);
      cursor = page.nextCursor;
      if (cursor === null) break;
    }
    return sessions;
  }

  /** Runs a command and waits for its end. A command that was not run to an end throws `JobFailedError`. */
  async run(command: Program, { check, onOutput, signal, ...options }: RunOptions = {}): Promise<Result> {
    const query = onOutput ? {} : { waitSeconds: WAIT_SECONDS };
    const answer = await this.#execute<JobRecord>(command, options, { query, signal });
    const job = this.job(answer.jobId);
    if (onOutput) for await (const chunk of job.stream({ signal })) await onOutput(chunk);
    // An answer that the command is accepted has no output.
    const hasEnded = isFinal(answer) && "stdout" in answer;
    const result = hasEnded ? await job.result(answer) : await job.wait({ signal });
    return check ? result.check() : result;
  }

  /** Submits a command and returns at once. */
  async submit(command: Program, options: CommandOptions = {}): Promise<Job> {
    return this.job((await this.#execute<Accepted>(command, options, {})).jobId);
  }

  /** A job of this shell that was submitted before. */
  job(id: string): Job {
    return new Job(this.client, id, this.id);
  }

  /** All jobs of this shell, oldest first, without their output. */
  async jobs(): Promise<JobRecord[]> {
    const jobs: JobRecord[] = [];
    let cursor: string | null = null;
    do {
      const query = { cursor, limit: PAGE };
      const page: { data: JobRecord[]; nextCursor: string | null } = await this.client.get(
        `/v1/sessions/${this.id}/jobs`,
        { query },
      );
      jobs.push(...page.data);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return jobs;
  }

  /** Opens a terminal with this program, or with the user's login shell. */
  async terminal(options: TerminalOptions = {}): Promise<Terminal> {
    const Socket = webSocket(options);
    const { WebSocket: _, ...body } = options;
    const answer = await this.client.post<Accepted>(`/v1/sessions/${this.id}/terminal`, body);
    const { cols, rows } = body;
    const size = { ...(cols && { cols }), ...(rows && { rows }) };
    return Terminal.open(this.job(answer.jobId), { ...size, WebSocket: Socket });
  }

  /** The session as the API shows it. */
  info(): Promise<Session> {
    return this.client.get(`/v1/sessions/${this.id}`);
  }

  /** Waits until the shell is ready. Throws `JobFailedError` if it could not be started. */
  async waitReady(): Promise<Session> {
    await this.job((await this.info()).startJobId).wait();
    return this.info();
  }

  /** What the commands of the shell run, background processes included; at most 1000. */
  async processes(): Promise<Process[]> {
    return (await this.client.get<Processes>(`/v1/sessions/${this.id}/processes`)).processes;
  }

  /**
   * Sends a signal, such as `"TERM"`, to one process: a pid, or one that was listed. Throws an `ApiError` with
   * the code `not_found` if that has ended, also if another process has its pid by now.
   */
  async signalProcess(process: Process | number, signal: string | number): Promise<void> {
    const isListed = typeof process !== "number";
    const pid = isListed ? process.pid : process;
    const body = { signal, ...(isListed && { startedAt: process.startedAt }) };
    await this.client.post(`/v1/sessions/${this.id}/processes/${pid}/signal`, body);
  }

  /** What has happened to the session until now. */
  async timeline(): Promise<Event[]> {
    const events: Event[] = [];
    for (;;) {
      const query = { after: events.at(-1)?.seq ?? 0, limit: PAGE };
      const { data } = await this.client.get<Timeline>(`/v1/sessions/${this.id}/events`, { query });
      events.push(...data);
      if (data.length < PAGE) return events;
    }
  }

  /** Moves the end of the shell to so many seconds from now. */
  extend(ttlSeconds: number, { allowShorten = false } = {}): Promise<Session> {
    return this.client.post(`/v1/sessions/${this.id}/extend`, { ttlSecondsFromNow: ttlSeconds, allowShorten });
  }

  /** Stops the shell, with `drain` after its queued commands, and waits until it is gone. */
  async stop(options: { drain?: boolean; reason?: string; wait?: boolean } = {}): Promise<void> {
    const { wait = true, ...body } = options;
    const answer = await this.client.post<Accepted>("/v1/shell/stop", { sessionId: this.id, ...body });
    if (wait) await this.job(answer.jobId).wait();
  }

  /** Stops the shell. The server sees to it; this does not wait until the shell is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop({ wait: false });
  }

  #execute<T>(command: Program, options: CommandOptions, request: object): Promise<T> {
    return this.client.post("/v1/shell/execute", { ...options, command, sessionId: this.id }, request);
  }
}

/** Stops a shell whose start was interrupted: the same key gets the response to that start. */
async function stopStarted(client: Client, body: object, key: string): Promise<void> {
  try {
    const options = { retrySeconds: INTERRUPTED_SECONDS };
    const { sessionId } = await client.post<Accepted>("/v1/shell/start", body, { ...options, key });
    await client.post("/v1/shell/stop", { sessionId }, options);
  } catch {
    // The shell ends by its TTL.
  }
}
