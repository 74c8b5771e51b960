// A deployment with an issuer, as a browser sees it: a distribution in front of a real server. Which path leads
// where, with which headers, is taken from the reviewed template (infra/test/console.snapshot.json).

import { readFileSync } from "node:fs";
import { createServer, request as send, type IncomingMessage, type Server as HttpServer, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import path from "node:path";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { consoleFiles, type ConsoleFile } from "../../../infra/lib/operate/console-files.ts";
import { CLIENT, type Issuer } from "./issuer.js";
import type { Server } from "./server.js";

const SNAPSHOT = path.resolve(import.meta.dirname, "../../../infra/test/console.snapshot.json");

interface Template {
  Resources: Record<string, { Type: string; Properties: Record<string, any> }>;
  Outputs: Record<string, { Value: unknown }>;
}

/** The text of a property; a reference is replaced by its name. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  const { Ref, "Fn::GetAtt": attribute, "Fn::Join": joined } = value as { Ref?: string; "Fn::GetAtt"?: string[]; "Fn::Join"?: [string, unknown[]] };
  if (joined !== undefined) return joined[1].map(textOf).join(joined[0]);
  return (Ref ?? attribute?.join(".") ?? "").replace(/\W/g, "");
}

export class Deployment {
  readonly #server: Server;
  readonly #issuer: Issuer;
  readonly #template = JSON.parse(readFileSync(SNAPSHOT, "utf8")) as Template;
  readonly #http: HttpServer;
  /** Where terminals are: another origin. */
  readonly #channels: HttpServer;
  #files: readonly ConsoleFile[] = [];
  /** The open connections of terminals; null while none may be opened. */
  #connections: Set<Duplex> | null = new Set();
  /** The paths of the API that were requested. */
  readonly requested: string[] = [];

  constructor(server: Server, issuer: Issuer) {
    this.#server = server;
    this.#issuer = issuer;
    this.#http = createServer((request, response) => void this.#answer(request, response));
    this.#channels = createServer().on("upgrade", (request, socket, head) => this.#tunnel(request, socket, head));
  }

  async start(): Promise<void> {
    for (const http of [this.#http, this.#channels]) await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    this.#files = consoleFiles(this.#config());
  }

  close(): void {
    for (const http of [this.#http, this.#channels]) {
      http.close();
      http.closeAllConnections();
    }
  }

  /** Cuts the connections of all terminals, and lets none be opened until `mendChannels`. */
  cutChannels(): void {
    for (const connection of this.#connections ?? []) connection.destroy();
    this.#connections = null;
  }

  mendChannels(): void {
    this.#connections = new Set();
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  get #channelOrigin(): string {
    return `ws://channels.localhost:${(this.#channels.address() as AddressInfo).port}`;
  }

  #properties(type: string): Record<string, any> {
    const found = Object.values(this.#template.Resources).find((resource) => resource.Type.endsWith(`::${type}`));
    if (!found) throw new Error(`the template has no ${type}`);
    return found.Properties;
  }

  /** The configuration of the stack, with the issuer of this test. */
  #config(): string {
    const config = JSON.parse(textOf(this.#template.Outputs.ConsoleConfig?.Value)) as Record<string, string>;
    const signOutUrl = `${this.#issuer.pages}/end?back=${encodeURIComponent(`${this.url}/`)}`;
    return JSON.stringify({ ...config, issuer: this.#issuer.url, clientId: CLIENT, signOutUrl });
  }

  /** The headers of all answers. */
  headers(): Record<string, string> {
    const { SecurityHeadersConfig: security, CustomHeadersConfig: custom } = this.#properties("ResponseHeadersPolicy").ResponseHeadersPolicyConfig;
    const { AccessControlMaxAgeSec, IncludeSubdomains } = security.StrictTransportSecurity;
    const others = custom.Items.map(({ Header, Value }: { Header: string; Value: string }) => [Header.toLowerCase(), Value]);
    return {
      "content-security-policy": this.#policy(textOf(security.ContentSecurityPolicy.ContentSecurityPolicy)),
      "x-content-type-options": "nosniff",
      "x-frame-options": security.FrameOptions.FrameOption,
      "referrer-policy": security.ReferrerPolicy.ReferrerPolicy,
      "strict-transport-security": `max-age=${AccessControlMaxAgeSec}${IncludeSubdomains ? "; includeSubDomains" : ""}`,
      ...Object.fromEntries(others),
    };
  }

  /** The policy with the places of this test. */
  #policy(policy: string): string {
    const [all = "", , issuer = "", pages = "", channels = "", ...more] = /connect-src ([^;]*)/.exec(policy)?.[0].split(" ") ?? [];
    if (!/^https:.* https:.* wss:/.test([issuer, pages, channels].join(" ")) || more.length > 0) throw new Error(`unexpected: ${policy}`);
    const replaced = policy.replace(issuer, this.#issuer.url).replace(pages, this.#issuer.pages).replace(channels, this.#channelOrigin);
    if (!replaced.includes(`${all} 'self' ${this.#issuer.url} ${this.#issuer.pages} ${this.#channelOrigin};`)) throw new Error(replaced);
    return replaced;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, search } = new URL(request.url ?? "/", this.url);
    for (const [name, value] of Object.entries(this.headers())) response.setHeader(name, value);
    const { DefaultRootObject: root, CacheBehaviors: behaviours } = this.#properties("Distribution").DistributionConfig;
    const found = behaviours.find(({ PathPattern }: { PathPattern: string }) => pathname.startsWith(PathPattern.replace("*", "")));
    if (found?.AllowedMethods) return this.#pass(request, response, pathname + search);
    const file = this.#files.find(({ key }) => key === (pathname === "/" ? root : pathname.slice(1)));
    if (request.method !== "GET" || !file) return void response.writeHead(403).end();
    response.writeHead(200, { "content-type": file.contentType, "cache-control": file.cacheControl }).end(file.body);
  }

  /** Passes a request on as the gateway does: with a valid token only, and without streams. */
  async #pass(request: IncomingMessage, response: ServerResponse, target: string): Promise<void> {
    this.requested.push(target);
    const body = await buffer(request);
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
    if (!this.#issuer.accepts(token)) return void response.writeHead(401).end('{"message":"Unauthorized"}');
    if (target.endsWith("/stream")) {
      const problem = { type: "about:blank", title: "No streaming here", status: 406, code: "streaming_unavailable" };
      return void response.writeHead(406, { "content-type": "application/problem+json" }).end(JSON.stringify(problem));
    }
    const { host: _, connection: __, ...headers } = request.headers;
    const options = { method: request.method, headers: { ...headers, authorization: `Bearer ${this.#server.token}` } };
    const passed = send(`${this.#server.url}${target}`, options as object, (answer) => void this.#return(answer, response));
    passed.on("error", () => response.writeHead(502).end());
    passed.end(body);
  }

  async #return(answer: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = String(await buffer(answer));
    const body = text.replaceAll(this.#server.url.replace("http:", "ws:"), this.#channelOrigin);
    for (const [name, value] of Object.entries(answer.headers)) if (!/length|encoding|connection/.test(name)) response.setHeader(name, value ?? "");
    response.writeHead(answer.statusCode ?? 500).end(body);
  }

  /** Carries a WebSocket to the server. */
  #tunnel(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.#connections === null) return void socket.destroy();
    this.#connections.add(socket);
    const { host, port } = new URL(this.#server.url);
    const { origin: _, ...headers } = { ...request.headers, host };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
    const upstream = connect(Number(port), "127.0.0.1", () => {
      upstream.write(`GET ${request.url} HTTP/1.1\r\n${lines.join("")}\r\n`);
      upstream.write(head);
      socket.pipe(upstream).pipe(socket);
    });
    for (const side of [socket, upstream]) {
      side.on("error", () => side.destroy());
      side.on("close", () => [socket, upstream].forEach((each) => each.destroy()));
    }
  }
}
