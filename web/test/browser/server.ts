// The real server on a directory of its own, as a user starts it.

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const START_MS = 60_000;
/** Larger files of a data directory are the disks of shells. Bytes. */
const MAX_SEARCHED = 256 << 20;
const PROGRAM =
  process.env.EPHEMERAL_PROGRAM || path.resolve(import.meta.dirname, "../../../target/debug/ephemeral");

/** Why the tests can't run here; null if they can. */
export function unfit(): string | null {
  if (!existsSync(PROGRAM)) return `${PROGRAM} is not built`;
  try {
    execFileSync(PROGRAM, ["doctor"], { stdio: "pipe" });
    return null;
  } catch {
    return "this host can't isolate shells; `ephemeral doctor` says why";
  }
}

/** Options of `ephemeral up` beyond those that all tests need. */
const DEFAULT_OPTIONS = ["--quota", "8"];

export class Server {
  readonly #options: readonly string[];
  readonly #dir = mkdtempSync(path.join(tmpdir(), "ephemeral-web-"));
  readonly #tokens: string[] = [];
  #process: ChildProcess | null = null;
  #printed = "";
  #port = 0;

  constructor(options: readonly string[] = DEFAULT_OPTIONS) {
    this.#options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts it on a terminal, where it prints a link. Again after `kill`, on the same port. */
  async start(): Promise<void> {
    if (this.#port === 0) this.#port = await freePort();
    const place = `--data-dir ${this.#dir} --listen 127.0.0.1:${this.#port}`;
    const up = `${PROGRAM} up ${place} --webhook-allow-private --log warn ${this.#options.join(" ")}`;
    this.#printed = "";
    const child = spawn("script", ["-qefc", `stty cols 300; exec ${up}`, "/dev/null"], { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data) => (this.#printed += String(data)));
    this.#process = child;
    await until(() => /^try /m.test(this.#printed), START_MS, () => `the server did not start: ${this.#printed}`);
    if (this.#tokens.length === 0) this.#tokens.push(readFileSync(path.join(this.#dir, "token"), "utf8").trim());
  }

  /** What `up` has printed since its latest start. */
  get printed(): string {
    return this.#printed;
  }

  /** The files of the data directory that contain this text. */
  filesWith(text: string): string[] {
    const entries = readdirSync(this.#dir, { recursive: true, withFileTypes: true });
    const paths = entries.filter((each) => each.isFile()).map((each) => path.join(each.parentPath, each.name));
    const found = paths.filter((each) => statSync(each).size < MAX_SEARCHED && readFileSync(each).includes(text));
    return found.map((each) => path.relative(this.#dir, each)).sort();
  }

  get dataDir(): string {
    return this.#dir;
  }

  /** The link that `up` printed. */
  get link(): string {
    const link = /^console +(\S+)/m.exec(this.#printed)?.[1];
    if (!link) throw new Error(`no link in: ${this.#printed}`);
    return link;
  }

  /** Kills it with SIGKILL. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** A new link, by `ephemeral console`. */
  newLink(): string {
    return this.#run("console").trim();
  }

  /** The token of the user `local`. */
  get token(): string {
    return this.#tokens[0] ?? "";
  }

  addUser(name: string): string {
    const token = this.#run("token", "add", name).trim();
    this.#tokens.push(token);
    return token;
  }

  revoke(name: string): void {
    this.#run("token", "revoke", name);
  }

  async api<T>(method: "GET" | "POST", route: string, body?: unknown, token = this.token): Promise<T> {
    const response = await fetch(`${this.url}/v1${route}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${route}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Starts a session and waits until it is ready. */
  async session(body: unknown): Promise<string> {
    const { sessionId, jobId } = await this.api<{ sessionId: string; jobId: string }>("POST", "/shell/start", body);
    await this.api("GET", `/jobs/${jobId}?waitSeconds=25`);
    return sessionId;
  }

  /** Stops all sessions of all users, and waits until they have ended. */
  async stopSessions(): Promise<void> {
    for (const token of this.#tokens) await this.#stopSessions(token).catch(() => undefined);
  }

  /** Stops all sessions and the server, and removes its data. */
  async clear(): Promise<void> {
    await this.stopSessions();
    await this.#end("SIGTERM");
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #stopSessions(token: string): Promise<void> {
    type List = { data: { sessionId: string; status: string }[] };
    const open = async () => {
      const { data } = await this.api<List>("GET", "/sessions?limit=100", undefined, token);
      return data.filter((session) => session.status !== "stopped" && session.status !== "failed");
    };
    for (const { sessionId } of await open()) await this.api("POST", "/shell/stop", { sessionId }, token);
    const deadline = Date.now() + START_MS;
    while ((await open()).length > 0 && Date.now() < deadline) await pause(50);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (!child) return;
    this.#process = null;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.exitCode !== null || child.signalCode !== null) return;
    const { pid } = JSON.parse(readFileSync(path.join(this.#dir, "server.json"), "utf8")) as { pid: number };
    process.kill(pid, signal);
    await ended;
  }

  #run(...args: string[]): string {
    const all = [...args, "--data-dir", this.#dir];
    return execFileSync(PROGRAM, all, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A page of another origin on this machine. */
export async function otherOrigin(): Promise<{ url: string; close: () => void }> {
  const http = createHttpServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>"));
  const port = await freePort();
  await new Promise<void>((resolve) => http.listen(port, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${port}`, close: () => http.close() };
}

async function until(holds: () => boolean, ms: number, message: () => string): Promise<void> {
  const deadline = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(message());
    await pause(50);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
