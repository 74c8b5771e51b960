// Verifies webhooks (Standard Webhooks).

import { WebhookError } from "./errors.js";

/** How far the time of a webhook may be from ours. */
const TOLERANCE_SECONDS = 300;

/** What a webhook reports. */
export interface WebhookEvent {
  type: string;
  [field: string]: unknown;
}

/**
 * Checks the signature and the age of a webhook, and resolves to its JSON.
 *
 * `body` is what was received, byte by byte. `secret` is the session's: `whsec_…`. Throws `WebhookError` if
 * the webhook is not from the server. A webhook may arrive twice, with the same header `webhook-id`.
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: Headers | Record<string, string | string[] | undefined>,
  secret: string,
  { toleranceSeconds = TOLERANCE_SECONDS } = {},
): Promise<WebhookEvent> {
  const given = (name: string) => header(headers, name);
  const [id, timestamp, signatures] = [given("webhook-id"), given("webhook-timestamp"), given("webhook-signature")];
  if (id === null || signatures === null || timestamp === null || !/^\d+$/.test(timestamp)) {
    throw new WebhookError("a header of the signature is missing or malformed");
  }
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > toleranceSeconds) {
    throw new WebhookError("the webhook is too old, or the clock of this machine is wrong");
  }
  const content = typeof body === "string" ? body : new TextDecoder("utf-8", { ignoreBOM: true }).decode(body);
  const prefix = new TextEncoder().encode(`${id}.${timestamp}.`);
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = new Uint8Array(prefix.length + bytes.length);
  signed.set(prefix);
  signed.set(bytes, prefix.length);
  const key = await importKey(secret);
  for (const signature of signatures.split(" ")) {
    const [version, text = ""] = signature.split(",", 2);
    const mac = version === "v1" ? base64(text) : null;
    if (mac && (await crypto.subtle.verify("HMAC", key, mac, signed))) return JSON.parse(content) as WebhookEvent;
  }
  throw new WebhookError("the signature is wrong");
}

async function importKey(secret: string): Promise<CryptoKey> {
  const key = base64(secret.replace(/^whsec_/, ""));
  if (!key?.length) throw new WebhookError("the secret is not whsec_ and base64");
  return crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

function base64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

function header(headers: Headers | Record<string, string | string[] | undefined>, name: string): string | null {
  if (headers instanceof Headers) return headers.get(name);
  for (const [key, value] of Object.entries(headers)) {
    if (key.toLowerCase() === name && value !== undefined) return String(value);
  }
  return null;
}
