// What the start dialog has, and the request that it means.

import type { Start } from "../api/types.js";

/** The memory (MiB) that each number of CPU units can have: the pairs of AWS Fargate. */
export const MEMORY: Readonly<Record<number, readonly number[]>> = {
  256: [512, 1024, 2048],
  512: gibibytes(1, 4),
  1024: gibibytes(2, 8),
  2048: gibibytes(4, 16),
  4096: gibibytes(8, 30),
};

export interface StartForm {
  image: string;
  cpu: number;
  memoryMiB: number;
  /** MiB; the server's default if it is empty. */
  disk: string;
  ttl: string;
  idle: string;
  network: "" | "none" | "egress";
  isOneShot: boolean;
  command: string;
  metadata: string;
  env: string;
  webhook: string;
  waits: boolean;
}

export const emptyForm: StartForm = {
  image: "default",
  cpu: 256,
  memoryMiB: 512,
  disk: "",
  ttl: "1h",
  idle: "",
  network: "",
  isOneShot: false,
  command: "",
  metadata: "",
  env: "",
  webhook: "",
  waits: false,
};

/** A field can't be understood. */
export class FormError extends Error {}

/** The request of a form. */
export function startRequest(form: StartForm): Start {
  const disk = form.disk.trim();
  if (!/^\d*$/.test(disk)) throw new FormError("Disk: write a number of MiB such as 2048");
  const size = { cpu: form.cpu, memoryMiB: form.memoryMiB, ...(disk === "" ? {} : { diskMiB: Number(disk) }) };
  const request: Start = {
    // The dialog offers the pairs of MEMORY only.
    size: size as Required<Start>["size"],
    ttlSeconds: parseDuration("Lifetime", form.ttl),
  };
  if (form.image.trim() !== "") request.image = form.image.trim();
  if (form.idle.trim() !== "") request.idleTimeoutSeconds = parseDuration("Idle timeout", form.idle);
  if (form.network !== "") request.network = form.network;
  if (form.isOneShot) request.command = required("Command", form.command);
  const metadata = parsePairs("Metadata", form.metadata);
  if (Object.keys(metadata).length > 0) request.metadata = metadata;
  const env = parsePairs("Environment", form.env);
  if (Object.keys(env).length > 0) request.env = env;
  if (form.webhook.trim() !== "") request.webhook = { url: form.webhook.trim() };
  if (form.waits) request.admission = "queue";
  return request;
}

/** Seconds of a text such as `90s`, `15m`, `1h 30m`, `45` (minutes). */
export function parseDuration(name: string, text: string): number {
  const compact = text.replaceAll(/\s/g, "").toLowerCase();
  if (/^\d+$/.test(compact)) return Number(compact) * 60;
  const parts = /^(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?$/.exec(compact);
  if (compact === "" || parts === null) {
    throw new FormError(`${name}: write a duration such as 90s, 15m or 2h`);
  }
  const [hours, minutes, seconds] = parts.slice(1).map((part) => Number(part ?? 0));
  return (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0);
}

/** The pairs of lines `KEY=VALUE`. */
export function parsePairs(name: string, text: string): Record<string, string> {
  const pairs: [string, string][] = [];
  for (const line of text.split("\n").filter((each) => each.trim() !== "")) {
    const equals = line.indexOf("=");
    if (equals < 1) throw new FormError(`${name}: write KEY=VALUE in each line, not “${line.trim()}”`);
    pairs.push([line.slice(0, equals).trim(), line.slice(equals + 1)]);
  }
  return Object.fromEntries(pairs);
}

function required(name: string, text: string): string {
  if (text.trim() === "") throw new FormError(`${name}: must not be empty`);
  return text;
}

function gibibytes(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => (from + index) * 1024);
}
