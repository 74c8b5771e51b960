// What an issuer of tokens offers, and requests to it (OpenID Connect Discovery 1.0, RFC 6749).

import type { IssuerSignIn } from "./config.js";

/** Where the issuer does what. */
export interface Endpoints {
  authorization: string;
  token: string;
  revocation: string | null;
  endSession: string | null;
}

export interface Tokens {
  accessToken: string;
  refreshToken: string | null;
  /** Seconds. */
  expiresIn: number | null;
}

/** The issuer refused a request, and will refuse it again. */
export class IssuerRefused extends Error {}

const TIMEOUT_MS = 15_000;
const COMMON: RequestInit = { cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" };

/** Reads what the issuer offers. */
export async function discover({ issuer }: IssuerSignIn): Promise<Endpoints> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const response = await fetch(url, { ...COMMON, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`the issuer of tokens answered with HTTP ${response.status}`);
  return parseEndpoints((await response.json()) as unknown, issuer);
}

/** Throws an error if `value` is not the metadata of this issuer. */
export function parseEndpoints(value: unknown, issuer: string): Endpoints {
  const fields = (value ?? {}) as Record<string, unknown>;
  if (fields.issuer !== issuer) throw new Error("the issuer of tokens names itself otherwise than it is configured");
  const { protocol } = new URL(issuer);
  const endpoint = (name: string): string | null => {
    const url = fields[name];
    return typeof url === "string" && URL.canParse(url) && new URL(url).protocol === protocol ? url : null;
  };
  const [authorization, token] = [endpoint("authorization_endpoint"), endpoint("token_endpoint")];
  if (authorization === null || token === null) throw new Error("the issuer of tokens does not say where to sign in");
  return { authorization, token, revocation: endpoint("revocation_endpoint"), endSession: endpoint("end_session_endpoint") };
}

/** Asks the token endpoint for tokens. */
export async function requestTokens(endpoint: string, fields: Record<string, string>): Promise<Tokens> {
  const response = await send(endpoint, fields);
  const answer = ((await response.json().catch(() => null)) ?? {}) as Record<string, unknown>;
  if (!response.ok) {
    const reason = typeof answer.error === "string" ? answer.error : `HTTP ${response.status}`;
    if (response.status < 500 && response.status !== 429) throw new IssuerRefused(reason);
    throw new Error(`the issuer of tokens failed: ${reason}`);
  }
  const { access_token: accessToken, refresh_token: refreshToken, expires_in: expiresIn, token_type: type } = answer;
  if (typeof accessToken !== "string" || String(type).toLowerCase() !== "bearer") throw new IssuerRefused("no bearer token");
  const seconds = Number(expiresIn ?? Number.NaN);
  return {
    accessToken,
    refreshToken: typeof refreshToken === "string" ? refreshToken : null,
    expiresIn: Number.isFinite(seconds) && seconds > 0 ? seconds : null,
  };
}

/** Makes a refresh token worthless (RFC 7009), if that is possible. */
export async function revoke(endpoint: string, fields: Record<string, string>): Promise<void> {
  await send(endpoint, fields).catch(() => undefined);
}

function send(endpoint: string, fields: Record<string, string>): Promise<Response> {
  const body = new URLSearchParams(fields);
  return fetch(endpoint, { ...COMMON, method: "POST", body, signal: AbortSignal.timeout(TIMEOUT_MS) });
}
