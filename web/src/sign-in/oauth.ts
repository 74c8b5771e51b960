// Sign-in at an issuer: the authorization-code flow with PKCE (RFC 6749, RFC 7636, RFC 9700). The page of the
// issuer leads back with a code, which is worth nothing without the verifier that this tab keeps.

import { loadConfig, type IssuerSignIn } from "./config.js";
import { discover, IssuerRefused, requestTokens, revoke, type Tokens } from "./issuer.js";
import { replaceToken, signedOutBecause, signIn, signOut, token } from "./token.js";

const PENDING = "ephemeral.sign-in";
const GRANT = "ephemeral.grant";
/** A token is replaced this long before it ends. */
const MARGIN_SECONDS = 60;

/** A sign-in that has left for the page of the issuer. */
interface Pending {
  state: string;
  verifier: string;
  /** The page to come back to. */
  fragment: string;
}

/** What renews the token. */
interface Grant {
  refreshToken: string | null;
  /** Milliseconds of the clock. A token that does not say when it ends is used until the API refuses it. */
  times: { renewAt: number; expiresAt: number } | null;
}

/** What the issuer has added to the address. */
export interface Callback {
  state: string;
  code: string | null;
  error: string | null;
  issuer: string | null;
}

/** The callback in the query of an address, if there is one. */
export function callbackIn(query: string): Callback | null {
  const fields = new URLSearchParams(query);
  const [state, code, error] = [fields.get("state"), fields.get("code"), fields.get("error")];
  if (state === null || (code === null && error === null)) return null;
  return { state, code, error, issuer: fields.get("iss") };
}

/** Prepares a sign-in, and returns the address of the issuer's page. */
export async function authorizationUrl(config: IssuerSignIn, redirectUri: string, fragment: string): Promise<string> {
  const { authorization } = await discover(config);
  const pending: Pending = { state: random(), verifier: random(), fragment };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const url = new URL(authorization);
  const fields: Record<string, string | undefined> = {
    response_type: "code",
    client_id: config.clientId,
    redirect_uri: redirectUri,
    scope: config.scope,
    audience: config.audience,
    state: pending.state,
    code_challenge: await challenge(pending.verifier),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) url.searchParams.set(name, value);
  return url.href;
}

/**
 * Ends the sign-in that this tab has begun, if the address has its callback. Takes the code out of the address bar
 * and the history first.
 */
export async function signInByCallback(page: Pick<Location, "search" | "origin" | "pathname">): Promise<void> {
  const callback = callbackIn(page.search);
  if (callback === null) return;
  const pending = read<Pending>(PENDING);
  // Anyone can make a user open such an address; only the answer to this tab's own request counts.
  const isOwn = pending?.state === callback.state;
  history.replaceState(null, "", page.pathname + (isOwn ? pending.fragment : ""));
  try {
    if (!isOwn) throw new Error("it was not begun in this tab");
    sessionStorage.removeItem(PENDING);
    keep(await exchange(callback, pending, `${page.origin}/`), signIn);
  } catch (error) {
    if (token.value === null) signedOutBecause.set(`Signing in failed: ${(error as Error).message}. Try again.`);
  }
}

async function exchange(callback: Callback, { verifier }: Pending, redirectUri: string): Promise<Tokens> {
  const config = await loadConfig();
  if (config.signIn !== "oauth") throw new Error("this deployment has no issuer");
  if (callback.issuer !== null && callback.issuer !== config.issuer) throw new Error("another issuer has answered");
  if (callback.code === null) throw new Error(`the issuer says ${callback.error}`);
  const endpoints = await discover(config);
  return requestTokens(endpoints.token, {
    grant_type: "authorization_code",
    client_id: config.clientId,
    code: callback.code,
    redirect_uri: redirectUri,
    code_verifier: verifier,
  });
}

let renewing: Promise<void> | null = null;

/** Replaces the token if it ends soon. Throws an error if it has ended and the issuer does not answer. */
export async function renewToken(): Promise<void> {
  const grant = read<Grant>(GRANT);
  if (!grant?.times || Date.now() < grant.times.renewAt) return;
  renewing ??= renew(grant.refreshToken, Date.now() >= grant.times.expiresAt).finally(() => (renewing = null));
  await renewing;
}

async function renew(refreshToken: string | null, hasEnded: boolean): Promise<void> {
  if (refreshToken === null) {
    if (hasEnded) signOut("Your sign-in has ended. Sign in again.");
    return;
  }
  try {
    const config = await loadConfig();
    if (config.signIn !== "oauth") throw new IssuerRefused("this deployment has no issuer");
    const endpoints = await discover(config);
    const fields = { grant_type: "refresh_token", client_id: config.clientId, refresh_token: refreshToken };
    const tokens = await requestTokens(endpoints.token, fields);
    // The user may have signed out meanwhile.
    if (read<Grant>(GRANT)?.refreshToken !== refreshToken) return;
    keep({ ...tokens, refreshToken: tokens.refreshToken ?? refreshToken }, replaceToken);
  } catch (error) {
    if (error instanceof IssuerRefused) return signOut("Your sign-in has ended. Sign in again.");
    if (hasEnded) throw error;
  }
}

/** Signs out here and, if the issuer has signed the user in, there. */
export async function leave(page: Pick<Location, "origin" | "assign">): Promise<void> {
  const grant = read<Grant>(GRANT);
  signOut();
  if (grant === null) return;
  try {
    const config = await loadConfig();
    if (config.signIn !== "oauth") return;
    const { revocation, endSession } = await discover(config);
    const { refreshToken } = grant;
    if (refreshToken !== null && revocation !== null) await revoke(revocation, { token: refreshToken, client_id: config.clientId });
    const url = config.signOutUrl ?? (endSession && endSessionUrl(endSession, config, `${page.origin}/`));
    if (url) page.assign(url);
  } catch {
    signedOutBecause.set("You are signed out here. The issuer of your token does not answer, so you may still be signed in there.");
  }
}

/** OpenID Connect RP-Initiated Logout 1.0, without a token in the URL. */
function endSessionUrl(endpoint: string, { clientId }: IssuerSignIn, back: string): string {
  const url = new URL(endpoint);
  url.searchParams.set("client_id", clientId);
  url.searchParams.set("post_logout_redirect_uri", back);
  return url.href;
}

/** Keeps what renews a token, and uses the token. */
function keep({ accessToken, refreshToken, expiresIn }: Tokens, use: (token: string) => void): void {
  const at = (seconds: number) => Date.now() + seconds * 1000;
  const times = expiresIn && { renewAt: at(Math.max(expiresIn - MARGIN_SECONDS, expiresIn / 2)), expiresAt: at(expiresIn) };
  sessionStorage.setItem(GRANT, JSON.stringify({ refreshToken, times } as Grant));
  use(accessToken);
}

function read<T>(key: string): T | null {
  return JSON.parse(sessionStorage.getItem(key) ?? "null") as T | null;
}

/** 256 random bits, as a text that a URL may contain. */
function random(): string {
  return base64Url(crypto.getRandomValues(new Uint8Array(32)));
}

/** What the issuer gets to see of a verifier. */
export async function challenge(verifier: string): Promise<string> {
  return base64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
