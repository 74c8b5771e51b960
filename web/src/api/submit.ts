// Sending what a user has entered, once.

import { useRef, useState } from "preact/hooks";
import { Refused, Unreachable } from "./client.js";

export interface Submission<T> {
  isSending: boolean;
  error: Error | null;
  send: (request: T) => Promise<boolean>;
  clear: () => void;
}

/**
 * Sends a request under an idempotency key. The key stays the same while an unchanged request is repeated
 * because its answer was lost, so that it has its effect once.
 */
export function useSubmission<T>(action: (request: T, key: string) => Promise<void>): Submission<T> {
  const [isSending, setSending] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const pending = useRef<{ text: string; key: string } | null>(null);
  const send = async (request: T) => {
    const text = JSON.stringify(request) ?? "";
    if (pending.current?.text !== text) pending.current = { text, key: newKey() };
    setSending(true);
    setError(null);
    try {
      await action(request, pending.current.key);
      pending.current = null;
      return true;
    } catch (reason) {
      if (!(reason instanceof Unreachable)) pending.current = null;
      setError(reason as Error);
      return false;
    } finally {
      setSending(false);
    }
  };
  return { isSending, error, send, clear: () => setError(null) };
}

/** A random key. `crypto.randomUUID` exists only on https and loopback. */
export function newKey(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** What to tell the user about a failure: a sentence, and the errors of single fields. */
export function explain(error: Error): { message: string; details: string[] } {
  if (error instanceof Unreachable) {
    return { message: "The server does not answer. Sending again has the effect only once.", details: [] };
  }
  if (!(error instanceof Refused)) return { message: error.message, details: [] };
  const details = (error.problem.errors ?? []).map((field) => {
    const name = field.pointer ?? field.parameter ?? field.header;
    return name ? `${name}: ${field.detail}` : field.detail;
  });
  const saysSo = /\b(re)?try\b/i.test(error.message);
  const after = error.retryAfter && !saysSo ? ` Try again in ${error.retryAfter} s.` : "";
  const message = `${sentence(error.message)}${after}`;
  return { message, details: details.filter((detail) => !message.toLowerCase().includes(detail.toLowerCase())) };
}

/** A sentence of the API's text, which begins with a small letter and has no full stop. */
function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
