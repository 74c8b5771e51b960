// A real server for the tests, and servers that behave as a test needs it.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { Server, unfit } from "../../../web/test/browser/server.js";
import { Client, type ClientOptions } from "../src/index.js";

export { Server };

const reason = unfit();
if (reason) process.stdout.write(`SKIPPED: the SDK for TypeScript on a server: ${reason}\n`);

let shared: Promise<Server> | null = null;

/** The server that the tests share; those that kill one have their own. */
export function server(): Promise<Server> {
  shared ??= started(["--quota", "60"]);
  return shared;
}

export async function started(options: string[]): Promise<Server> {
  const server = new Server(options);
  await server.start();
  return server;
}

export async function client(options: ClientOptions = {}): Promise<Client> {
  const { url, token } = await server();
  return new Client({ url, token, ...options });
}

after(async () => {
  await (await shared)?.clear();
});

/** A test that needs a server. */
export function onServer(name: string, body: () => Promise<void>): void {
  test(name, { skip: reason ?? false, timeout: 300_000 }, body);
}

export type Respond = (request: IncomingMessage, response: ServerResponse, body: string) => void | Promise<void>;

/** A server whose responses a test decides. */
export async function scripted(respond: Respond, work: (url: string) => Promise<void>): Promise<void> {
  const http = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += String(piece)));
    request.on("end", () => void respond(request, response, body));
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  try {
    await work(`http://127.0.0.1:${(http.address() as AddressInfo).port}`);
  } finally {
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  }
}

export function send(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

/** The body of a refusal, as the API has it. */
export function problem(code: string, status: number): Record<string, unknown> {
  const retryable = status === 429 || status === 503;
  return { type: "about:blank", title: "Title", status, detail: "a reason", code, retryable, requestId: "req_1" };
}

/**
 * A deployment that can't hold responses open, as on AWS: all but the refusal of streams is that of the real
 * server.
 */
export async function withoutStreams(work: (client: Client) => Promise<void>): Promise<void> {
  const { url, token } = await server();
  const forward: Respond = async (request, response, body) => {
    if (request.url?.endsWith("/stream")) return send(response, 406, problem("streaming_unavailable", 406));
    const names = ["authorization", "content-type", "idempotency-key"];
    const headers = names.flatMap((name) => (request.headers[name] ? [[name, String(request.headers[name])]] : []));
    const init: RequestInit = { method: request.method ?? "GET", headers: Object.fromEntries(headers) as Record<string, string> };
    if (body) init.body = body;
    const answer = await fetch(url + request.url, init);
    send(response, answer.status, await answer.text());
  };
  await scripted(forward, (proxy) => work(new Client({ url: proxy, token })));
}
