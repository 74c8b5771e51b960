// A small issuer of tokens (OpenID Connect): the authorization-code flow for one public client, with PKCE.

import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export const CLIENT = "console";

/** What belongs to a code that was not exchanged yet. */
interface Authorization {
  challenge: string;
  redirectUri: string;
}

export class Issuer {
  readonly #http: Server;
  readonly #codes = new Map<string, Authorization>();
  readonly #refreshTokens = new Set<string>();
  /** The valid access tokens, and when they end. */
  readonly #accessTokens = new Map<string, number>();
  /** What was ever issued: codes, access tokens and refresh tokens. */
  readonly issued = { codes: [] as string[], tokens: [] as string[] };
  renewals = 0;
  /** How long the next access tokens are valid. Seconds. */
  lifetime = 3600;
  /** What the user does on the page for signing in. */
  isDenied = false;

  constructor() {
    this.#http = createServer((request, response) => void this.#answer(request, response));
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#http.listen(0, "127.0.0.1", resolve));
  }

  close(): void {
    this.#http.close();
    this.#http.closeAllConnections();
  }

  get #port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  /** How the issuer names itself; its metadata is below. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The origin of its pages and of its tokens: another one. */
  get pages(): string {
    return `http://localhost:${this.#port}`;
  }

  accepts(token: string): boolean {
    return (this.#accessTokens.get(token) ?? 0) > Date.now();
  }

  /** Makes all refresh tokens worthless. */
  forgetUsers(): void {
    this.#refreshTokens.clear();
  }

  get refreshTokens(): number {
    return this.#refreshTokens.size;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.pages);
    const fields = url.searchParams;
    response.setHeader("access-control-allow-origin", "*");
    if (url.pathname === "/.well-known/openid-configuration") return json(response, 200, this.#metadata());
    if (url.pathname === "/authorize") return this.#authorize(fields, response);
    if (url.pathname === "/end") return redirect(response, fields.get("post_logout_redirect_uri") ?? fields.get("back") ?? "");
    const posted = Object.fromEntries(new URLSearchParams(await text(request)));
    if (url.pathname === "/token") return this.#exchange(posted, response);
    if (url.pathname === "/revoke") this.#refreshTokens.delete(posted.token ?? "");
    response.writeHead(url.pathname === "/revoke" ? 200 : 404).end();
  }

  #metadata(): object {
    return {
      issuer: this.url,
      authorization_endpoint: `${this.pages}/authorize`,
      token_endpoint: `${this.pages}/token`,
      revocation_endpoint: `${this.pages}/revoke`,
      end_session_endpoint: `${this.pages}/end`,
    };
  }

  /** The page on which a user signs in: a link that leads back. */
  #authorize(fields: URLSearchParams, response: ServerResponse): void {
    const [redirectUri, challenge, state] = ["redirect_uri", "code_challenge", "state"].map((name) => fields.get(name) ?? "");
    const isFit = fields.get("client_id") === CLIENT && fields.get("response_type") === "code" && fields.get("code_challenge_method") === "S256";
    if (!isFit || !redirectUri || !challenge || !state) return void response.writeHead(400).end("not what a client should ask");
    const code = randomBytes(16).toString("base64url");
    const back = new URL(redirectUri);
    if (this.isDenied) back.searchParams.set("error", "access_denied");
    else back.searchParams.set("code", code);
    back.searchParams.set("state", state);
    this.#codes.set(code, { challenge, redirectUri });
    this.issued.codes.push(code);
    response.writeHead(200, { "content-type": "text/html" });
    response.end(`<!doctype html><title>Issuer</title><a href="${back.href.replaceAll("&", "&amp;")}">Continue as ann</a>`);
  }

  #exchange(posted: Record<string, string>, response: ServerResponse): void {
    if (posted.client_id !== CLIENT || !this.#isGranted(posted)) return json(response, 400, { error: "invalid_grant" });
    const [accessToken, refreshToken] = [0, 1].map(() => randomBytes(24).toString("base64url")) as [string, string];
    this.#accessTokens.set(accessToken, Date.now() + this.lifetime * 1000);
    this.#refreshTokens.add(refreshToken);
    this.issued.tokens.push(accessToken, refreshToken);
    json(response, 200, { access_token: accessToken, refresh_token: refreshToken, token_type: "Bearer", expires_in: this.lifetime });
  }

  /** Whether a request has a code with its verifier, or a refresh token; both count once. */
  #isGranted(posted: Record<string, string>): boolean {
    if (posted.grant_type === "refresh_token") {
      const isKnown = this.#refreshTokens.delete(posted.refresh_token ?? "");
      if (isKnown) this.renewals += 1;
      return isKnown;
    }
    const code = posted.code ?? "";
    const found = this.#codes.get(code);
    this.#codes.delete(code);
    const challenge = createHash("sha256").update(posted.code_verifier ?? "").digest("base64url");
    return posted.grant_type === "authorization_code" && found?.challenge === challenge && found.redirectUri === posted.redirect_uri;
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(302, { location }).end();
}
