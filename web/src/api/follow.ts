// Follows a job: its status, its output as it comes, and its end. Reads the job's event stream, or polls
// where the deployment has no streams. Continues where it was when the server comes back.

import { get, openStream, Refused } from "./client.js";
import { EventParser, type ServerEvent } from "../../../sdk/typescript/src/sse.js";
import { isFinal, type Job, type OutputStream } from "./types.js";

/** The server sends at least a comment in a third of this time. */
const SILENCE_MS = 45_000;
const FIRST_RETRY_MS = 300;
const MAX_RETRY_MS = 5000;
const PART_BYTES = 262_144;
const POLL_SECONDS = 2;

export type FollowEvent =
  /** `isMerged` says that a terminal would show both streams as one text, in this order. */
  | { kind: "output"; stream: OutputStream; bytes: Uint8Array; isMerged: boolean }
  /** This many bytes of the stream are not kept; what follows is behind them. */
  | { kind: "gap"; stream: OutputStream; missing: number }
  | { kind: "status"; status: Job["status"] }
  | { kind: "end"; job: Job };

interface OutputPart {
  stream: OutputStream;
  offset: number;
  text: string;
  encoding: "utf-8" | "base64";
  nextOffset: number;
  /** Where the command has written what follows in its merged output. */
  marks?: { offset: number; stream?: OutputStream }[];
}

interface OutputGap {
  stream: OutputStream;
  from: number;
  to: number;
}

/** Where a follower is. */
interface Position {
  stdout: number;
  stderr: number;
  lastEventId: string;
  ended: boolean;
}

type OnEvent = (event: FollowEvent) => void;

/** Calls `onEvent` for all that happens to the job; resolves after its end, or when `signal` ends it. */
export async function follow(jobId: string, onEvent: OnEvent, signal: AbortSignal): Promise<void> {
  const position: Position = { stdout: 0, stderr: 0, lastEventId: "", ended: false };
  let delay = FIRST_RETRY_MS;
  let hasStreams = true;
  while (!position.ended && !signal.aborted) {
    const before = position.stdout + position.stderr;
    try {
      if (hasStreams) await readStream(jobId, position, onEvent, signal);
      else await poll(jobId, position, onEvent, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.problem.code === "streaming_unavailable") {
        hasStreams = false;
        continue;
      }
      if (error instanceof Refused && error.problem.status < 500 && error.problem.status !== 429) throw error;
    }
    if (position.ended || signal.aborted) return;
    if (position.stdout + position.stderr > before) delay = FIRST_RETRY_MS;
    await pause(delay, signal);
    delay = Math.min(delay * 2, MAX_RETRY_MS);
  }
}

async function readStream(jobId: string, position: Position, onEvent: OnEvent, signal: AbortSignal): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  try {
    const response = await openStream(jobId, position.lastEventId, AbortSignal.any([signal, silence.signal]));
    if (response.status === 204 || response.body === null) {
      await finish(jobId, position, onEvent, signal);
      return;
    }
    const parser = new EventParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      for (const event of parser.push(decoder.decode(value, { stream: true }))) apply(event, position, onEvent);
    }
  } finally {
    clearTimeout(timer);
  }
}

function apply(event: ServerEvent, position: Position, onEvent: OnEvent): void {
  position.lastEventId = event.id;
  if (event.event === "status") {
    onEvent({ kind: "status", status: (JSON.parse(event.data) as Pick<Job, "status">).status });
  } else if (event.event === "output") {
    take(JSON.parse(event.data) as OutputPart, position, onEvent);
  } else if (event.event === "gap") {
    skip(JSON.parse(event.data) as OutputGap, position, onEvent);
  } else if (event.event === "end") {
    position.ended = true;
    onEvent({ kind: "end", job: JSON.parse(event.data) as Job });
  }
}

/** Passes on what is new in a part. A part that was sent again is dropped. */
function take(part: OutputPart, position: Position, onEvent: OnEvent): void {
  if (part.offset !== position[part.stream] || part.nextOffset <= part.offset) return;
  position[part.stream] = part.nextOffset;
  const bytes = decode(part);
  const { marks } = part;
  if (!marks) {
    onEvent({ kind: "output", stream: part.stream, bytes, isMerged: false });
    return;
  }
  marks.forEach(({ offset, stream = part.stream }, index) => {
    const end = marks[index + 1]?.offset ?? part.nextOffset;
    const piece = bytes.subarray(offset - part.offset, end - part.offset);
    onEvent({ kind: "output", stream, bytes: piece, isMerged: true });
  });
}

/** Goes to the end of a gap. A gap that was sent again is dropped. */
function skip(gap: OutputGap, position: Position, onEvent: OnEvent): void {
  if (gap.from !== position[gap.stream] || gap.to <= gap.from) return;
  position[gap.stream] = gap.to;
  onEvent({ kind: "gap", stream: gap.stream, missing: gap.to - gap.from });
}

async function poll(jobId: string, position: Position, onEvent: OnEvent, signal: AbortSignal): Promise<void> {
  for (;;) {
    const job = await get("/v1/jobs/{id}", { id: jobId, query: { waitSeconds: POLL_SECONDS } }, { signal });
    onEvent({ kind: "status", status: job.status });
    for (const stream of ["stdout", "stderr"] as const) {
      const end = storedEnd(job[stream]);
      while (position[stream] < end) {
        const query = { stream, offset: position[stream], limit: PART_BYTES };
        const part = await get("/v1/jobs/{id}/output", { id: jobId, query }, { signal });
        if (part.nextOffset <= part.offset) break;
        skip({ stream, from: position[stream], to: part.offset }, position, onEvent);
        take(part, position, onEvent);
      }
    }
    if (!isFinal(job)) continue;
    position.ended = true;
    onEvent({ kind: "end", job });
    return;
  }
}

/** The offset behind the last byte of a stream that is stored. */
function storedEnd({ keptBytes, gap }: Job[OutputStream]): number {
  return keptBytes + (gap ? gap.to - gap.from : 0);
}

async function finish(jobId: string, position: Position, onEvent: OnEvent, signal: AbortSignal): Promise<void> {
  const job = await get("/v1/jobs/{id}", { id: jobId }, { signal });
  position.ended = true;
  onEvent({ kind: "end", job });
}

function decode(part: OutputPart): Uint8Array {
  if (part.encoding === "utf-8") return new TextEncoder().encode(part.text);
  return Uint8Array.from(atob(part.text), (char) => char.charCodeAt(0));
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
