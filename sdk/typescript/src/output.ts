// The outcome and the output of a command.

import { CommandError, JobFailedError } from "./errors.js";
import type { CommandUsage, Job, JobStatus, Mark, OutputStream, Stream } from "./models.js";

export const STREAMS: readonly OutputStream[] = ["stdout", "stderr"];

/** A part of a command's output. */
export interface Chunk {
  stream: OutputStream;
  /** The offset of its first byte in the stream. */
  offset: number;
  data: Uint8Array;
  /** The data as UTF-8, with U+FFFD for what is none. A character is in the chunk of its end. */
  text: string;
  /** How many bytes before this chunk the server has not kept. */
  missing: number;
  /** Of merged output, where the server knows it: the stream to which the command wrote the chunk. */
  writtenTo?: OutputStream;
}

/** A part of merged output that the command has written to one stream. */
export interface Piece {
  /** Absent if it is not known. */
  writtenTo?: OutputStream;
  /** The offset of its first byte in the merged output. */
  offset: number;
  data: Uint8Array;
  /** The data as UTF-8, with U+FFFD for what is none. */
  text: string;
}

/** How a command has ended, and what it has written. */
export class Result {
  readonly jobId: string;
  /** `completed`, `timed_out` or `cancelled`; in errors also `failed` or `lost`. */
  readonly status: JobStatus;
  /** Null if a signal ended the command, or if it has not completed. */
  readonly exitCode: number | null;
  /** The number of the signal that ended the command. */
  readonly signal: number | null;
  /** The output as UTF-8, with U+FFFD for what is none. */
  readonly stdout: string;
  readonly stderr: string;
  /** How many bytes of the output are not kept, as there were more than `maxOutputBytes`. */
  readonly missingStdout: number;
  readonly missingStderr: number;
  readonly usage: CommandUsage | null;

  constructor(
    /** The job as the API shows it. */
    readonly job: Job,
    readonly stdoutBytes: Uint8Array,
    readonly stderrBytes: Uint8Array,
    /**
     * With `merge: true`: the kept output in its order, each piece with the stream to which the command wrote
     * it. Empty if the server does not know that, as with `state: "shared"`.
     */
    readonly pieces: readonly Piece[] = [],
  ) {
    this.jobId = job.jobId;
    this.status = job.status;
    this.exitCode = job.exitCode ?? null;
    this.signal = job.signal ?? null;
    this.stdout = decoded(stdoutBytes);
    this.stderr = decoded(stderrBytes);
    this.missingStdout = job.stdout.bytes - job.stdout.keptBytes;
    this.missingStderr = job.stderr.bytes - job.stderr.keptBytes;
    this.usage = job.usage ?? null;
  }

  /** Whether the command has completed with exit code 0. */
  get ok(): boolean {
    return this.status === "completed" && this.exitCode === 0;
  }

  get timedOut(): boolean {
    return this.status === "timed_out";
  }

  /** Throws `CommandError` unless the command has completed with exit code 0. */
  check(): this {
    if (this.ok) return this;
    const last = this.stderr.trim().split("\n").at(-1);
    throw new CommandError(`the command ${this.#outcome}${last ? `: ${last}` : ""}`, this);
  }

  get #outcome(): string {
    if (this.status === "timed_out") return "timed out";
    if (this.status === "cancelled") return "was cancelled";
    return this.exitCode === null ? `ended by signal ${this.signal}` : `exited with ${this.exitCode}`;
  }
}

/**
 * The result of a final job with these parts of its output. Throws `JobFailedError` if the command was not run to an end that is its own or
 * the caller's.
 */
export function resultOf(job: Job, stdout: readonly Content[], stderr: readonly Content[]): Result {
  const pieces = joined(stdout.flatMap(marked));
  const result = new Result(job, concat(stdout.map(content)), concat(stderr.map(content)), pieces);
  if (job.status !== "failed" && job.status !== "lost") return result;
  const { code, message } = job.error ?? { code: "unknown", message: `the job is ${job.status}` };
  throw new JobFailedError(`${message} (${job.jobId})`, result, code);
}

/** The offset behind the last byte of a stream that is stored. */
export function storedEnd({ keptBytes, gap }: Stream): number {
  return keptBytes + (gap ? gap.to - gap.from : 0);
}

/** A part of a stream, as a job or a page of its output has it. */
export interface Content {
  text?: string;
  encoding?: string;
  nextOffset?: number;
  marks?: readonly Mark[];
}

/** The bytes of a part of the output. */
export function content({ text = "", encoding }: Content): Uint8Array {
  if (encoding !== "base64") return new TextEncoder().encode(text);
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** The pieces of a part of merged output; none if it has no marks. */
function marked(part: Content): Omit<Piece, "text">[] {
  const { marks = [], nextOffset = 0 } = part;
  const data = content(part);
  const start = nextOffset - data.length;
  return marks.map(({ offset, stream }, index) => {
    const end = marks[index + 1]?.offset ?? nextOffset;
    return { offset, data: data.subarray(offset - start, end - start), ...(stream && { writtenTo: stream }) };
  });
}

/** Joins pieces of one stream that follow each other. */
function joined(pieces: readonly Omit<Piece, "text">[]): Piece[] {
  const groups: Omit<Piece, "text">[][] = [];
  for (const piece of pieces) {
    const last = groups.at(-1)?.at(-1);
    const follows = last && last.offset + last.data.length === piece.offset && last.writtenTo === piece.writtenTo;
    if (follows) groups.at(-1)?.push(piece);
    else groups.push([piece]);
  }
  return groups.flatMap((group) => {
    const data = concat(group.map((piece) => piece.data));
    return group.slice(0, 1).map((first) => ({ ...first, data, text: decoded(data) }));
  });
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function decoded(bytes: Uint8Array): string {
  return newDecoder().decode(bytes);
}

/** U+FEFF at the beginning is part of the output. */
const newDecoder = () => new TextDecoder("utf-8", { ignoreBOM: true });

/** A part of a stream as the API sends it. */
export interface Part {
  stream: OutputStream;
  offset: number;
  nextOffset: number;
  text: string;
  encoding: string;
  marks?: readonly Mark[];
}

/** How far the output of a job was read. */
export class Position {
  readonly #streams = {
    stdout: { offset: 0, missing: 0, decoder: newDecoder() },
    stderr: { offset: 0, missing: 0, decoder: newDecoder() },
  };

  offset(stream: OutputStream): number {
    return this.#streams[stream].offset;
  }

  /** The event of the job's stream after which the rest follows. */
  get eventId(): string {
    return `${this.offset("stdout")}.${this.offset("stderr")}`;
  }

  /** What is new in a part. A part that was sent again is dropped. */
  *take(part: Part): Generator<Chunk, void> {
    const at = this.#streams[part.stream];
    if (!at || part.offset < at.offset || part.nextOffset <= part.offset) return;
    this.skip(part.stream, part.offset);
    const { missing } = at;
    at.missing = 0;
    at.offset = part.nextOffset;
    // A character is not continued behind a gap.
    let before = { cut: missing > 0 ? at.decoder.decode() : "", missing };
    const pieces = marked(part);
    for (const piece of pieces.length > 0 ? pieces : [{ offset: part.offset, data: content(part) }]) {
      const text = before.cut + at.decoder.decode(piece.data, { stream: true });
      yield { stream: part.stream, ...piece, text, missing: before.missing };
      before = { cut: "", missing: 0 };
    }
  }

  /** Goes on behind output that is not kept. */
  skip(stream: OutputStream, to: number): void {
    const at = this.#streams[stream];
    if (!at || to <= at.offset) return;
    at.missing += to - at.offset;
    at.offset = to;
  }

  /** What the streams leave of characters that they have cut. */
  *end(): Generator<Chunk, void> {
    for (const stream of STREAMS) {
      const { offset, decoder } = this.#streams[stream];
      const text = decoder.decode();
      if (text) yield { stream, offset, data: new Uint8Array(), text, missing: 0 };
    }
  }
}
