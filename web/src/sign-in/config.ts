// How users of this deployment sign in. `config.json` beside the page says so: the bundle contains that of one
// machine, and a deployment with an issuer of tokens replaces it.

/** Users paste a token or open a link with a code. */
export interface TokenSignIn {
  signIn: "token";
}

/** Users sign in at an issuer (OpenID Connect). */
export interface IssuerSignIn {
  signIn: "oauth";
  /** The issuer, as it names itself. */
  issuer: string;
  clientId: string;
  /** The scopes to ask for, separated by spaces. */
  scope: string;
  /** The API for which a token is asked, for issuers that want to know. */
  audience?: string;
  /** Where signing out leads to, if the issuer does not say so itself. */
  signOutUrl?: string;
}

export type Config = TokenSignIn | IssuerSignIn;

const TIMEOUT_MS = 15_000;

let config: Promise<Config> | null = null;

/** The configuration. It is read once, unless that fails. */
export function loadConfig(): Promise<Config> {
  config ??= read().catch((error: unknown) => {
    config = null;
    throw error;
  });
  return config;
}

/** Forgets what was read. */
export function forgetConfig(): void {
  config = null;
}

async function read(): Promise<Config> {
  const options: RequestInit = { cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS) };
  const response = await fetch("/config.json", options);
  if (!response.ok) throw new Error(`config.json: the server answered with HTTP ${response.status}`);
  return parseConfig(await response.json());
}

/** Throws an error if `value` is no configuration. */
export function parseConfig(value: unknown): Config {
  const fields = (value ?? {}) as Partial<Record<keyof IssuerSignIn, unknown>>;
  if (fields.signIn === "token") return { signIn: "token" };
  const { signIn, issuer, clientId, scope, audience, signOutUrl } = fields;
  const isText = (field: unknown): field is string => typeof field === "string";
  if (signIn !== "oauth" || !isText(issuer) || !isText(clientId) || !isText(scope)) throw new Error("config.json does not say how to sign in");
  return { signIn, issuer, clientId, scope, ...(isText(audience) && { audience }), ...(isText(signOutUrl) && { signOutUrl }) };
}
