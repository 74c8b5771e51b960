// Selects the server to use, and the token for it, as the command line does. In browsers, both are given.

import { ServerNotFoundError } from "./errors.js";

/** Time within which a server on this machine must respond. */
const RESPONSE_TIMEOUT_MS = 2000;
/** Addresses by which a server may name itself although it is reached by another one. */
const OWN = /^(0\.0\.0\.0|127\.0\.0\.1|\[::\]|\[::1\]|localhost)$/;

export interface Address {
  /** Without a slash at its end. */
  url: string;
  token: string;
}

export interface Given {
  url?: string | undefined;
  token?: string | undefined;
  dataDir?: string | undefined;
}

/** What this needs of Node.js; Deno and Bun have it too. */
interface Runtime {
  env: Record<string, string | undefined>;
  geteuid?: () => number;
  getBuiltinModule?: (name: "node:fs") => { readFileSync: (path: string, encoding: "utf8") => string };
}

/** The given server, else that of EPHEMERAL_URL, else the one that runs on this machine. */
export async function find(given: Given): Promise<Address> {
  const runtime = (globalThis as { process?: Runtime }).process;
  const env = runtime?.env ?? {};
  const directory = given.dataDir ?? (env.EPHEMERAL_DATA_DIR || defaultDataDir(runtime));
  const read = (name: string) => readFile(runtime, directory, name);
  const url = given.url ?? (env.EPHEMERAL_URL || undefined) ?? (await runningUrl(read("server.json")));
  if (url === undefined) {
    throw new ServerNotFoundError(
      `no server runs on this machine with the data directory ${directory}; start one with ` +
        "`ephemeral up`, or pass url and token, or set EPHEMERAL_URL and EPHEMERAL_TOKEN",
    );
  }
  const stored = () => (isOwn(url, read("server.json")) ? read("token")?.trim() : undefined);
  const token = given.token ?? (env.EPHEMERAL_TOKEN || undefined) ?? stored();
  if (!token) {
    throw new ServerNotFoundError(
      `no token for ${url}; pass token, or set EPHEMERAL_TOKEN to the token from the operator of the server`,
    );
  }
  // The error of fetch would show it.
  if (!/^[!-~]+$/.test(token)) throw new ServerNotFoundError("the token has spaces or characters that no token has");
  return { url: url.replace(/\/+$/, ""), token };
}

/**
 * The URL of a data channel, as this program reaches the server: a server that listens on all addresses, or
 * behind a tunnel, does not know by which one.
 */
export function reachable(streamUrl: string, url: string): string {
  const { hostname, pathname, search } = new URL(streamUrl);
  return OWN.test(hostname) ? url.replace(/^http/, "ws") + pathname + search : streamUrl;
}

/**
 * Whether a URL is that of the server with this record: it names this machine, or has the same origin. The token
 * of a data directory goes to no other machine.
 */
function isOwn(url: string, record: string | undefined): boolean {
  try {
    const wanted = new URL(url);
    if (OWN.test(wanted.hostname) || /^127(\.\d+){3}$|\.localhost$/.test(wanted.hostname)) return true;
    const { url: recorded } = JSON.parse(record ?? "{}") as { url?: string };
    return recorded !== undefined && new URL(recorded).origin === wanted.origin;
  } catch {
    return false;
  }
}

function defaultDataDir(runtime: Runtime | undefined): string {
  if (runtime?.geteuid?.() === 0) return "/var/lib/ephemeral";
  const { XDG_DATA_HOME: dataHome, HOME: home } = runtime?.env ?? {};
  return `${dataHome ?? (home ? `${home}/.local/share` : "/tmp")}/ephemeral`;
}

function readFile(runtime: Runtime | undefined, directory: string, name: string): string | undefined {
  try {
    return runtime?.getBuiltinModule?.("node:fs").readFileSync(`${directory}/${name}`, "utf8");
  } catch {
    return undefined;
  }
}

/** The URL of the running server. A server that was killed leaves its file behind. */
async function runningUrl(record: string | undefined): Promise<string | undefined> {
  try {
    const { url } = JSON.parse(record ?? "{}") as { url?: string };
    if (!url) return undefined;
    const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS) });
    await response.body?.cancel();
    return url;
  } catch {
    return undefined;
  }
}
