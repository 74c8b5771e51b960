// The lines of a job's output, in blocks. Blocks that are full never change, so their text can be drawn
// once and their lines forgotten.

import type { OutputStream } from "../api/types.js";
import { AnsiParser, type Token } from "./ansi.js";
import { plain, type Style } from "./style.js";

/** How many lines a block has. */
export const BLOCK_LINES = 400;
/** A longer line is broken. Characters. */
export const MAX_LINE = 8192;

export interface Segment {
  text: string;
  style: Style;
}

export interface Line {
  /** The stream; a line that stands for output that is not kept belongs to none. */
  stream: OutputStream | "gap";
  segments: Segment[];
  /** The sum of the segments' lengths. */
  length: number;
}

export interface Block {
  lines: Line[];
  isFull: boolean;
}

/** Where the next character of a stream goes. */
interface Cursor {
  parser: AnsiParser;
  line: Line | null;
  column: number;
}

/** Puts the pieces of both streams together. A line stands where its first piece arrived. */
export class LineBuffer {
  readonly #isMerged: boolean;
  #cursors: Record<OutputStream, Cursor>;
  #block: Block = { lines: [], isFull: false };

  /** Streams that are merged continue each other's lines. A line has the stream of its first piece. */
  constructor(isMerged: boolean) {
    this.#isMerged = isMerged;
    this.#cursors = this.#newCursors();
  }

  /** The block that the next line is added to. */
  get last(): Block {
    return this.#block;
  }

  /** Adds a piece; returns the blocks that it filled. */
  push(stream: OutputStream, bytes: Uint8Array): Block[] {
    return this.#add(stream, this.#cursors[stream].parser.push(bytes));
  }

  /** Adds a line that stands for output that is not kept; returns the blocks that are full then. */
  gap(stream: OutputStream, text: string): Block[] {
    const at = this.#cursors[stream];
    // A character or an escape sequence that the gap cuts does not continue behind it.
    const filled = this.#add(stream, at.parser.end());
    if (this.#block.lines.length === BLOCK_LINES) this.#close(filled);
    const line: Line = { stream: "gap", segments: [], length: 0 };
    append(line, { text, style: plain });
    this.#block.lines.push(line);
    if (this.#isMerged) this.#cursors = this.#newCursors();
    else this.#cursors[stream] = cursor();
    return filled;
  }

  #newCursors(): Record<OutputStream, Cursor> {
    const stdout = cursor();
    return { stdout, stderr: this.#isMerged ? stdout : cursor() };
  }

  /** Adds what is left of a character or an escape sequence at the end of both streams. */
  end(): Block[] {
    const streams = ["stdout", "stderr"] as const;
    return streams.flatMap((stream) => this.#add(stream, this.#cursors[stream].parser.end()));
  }

  #add(stream: OutputStream, tokens: Token[]): Block[] {
    const filled: Block[] = [];
    const at = this.#cursors[stream];
    for (const token of tokens) {
      if (token.kind === "text") this.#text(stream, token, filled);
      else if (token.kind === "newline") {
        this.#open(stream, filled);
        at.line = null;
        at.column = 0;
      } else if (token.kind === "return") at.column = 0;
      else if (token.kind === "backspace") at.column = Math.max(0, at.column - 1);
      else if (at.line) erase(at.line, token.part, at.column);
    }
    return filled;
  }

  #text(stream: OutputStream, token: Segment, filled: Block[]): void {
    const at = this.#cursors[stream];
    let text = token.text;
    while (text !== "") {
      if (at.column >= MAX_LINE) {
        at.line = null;
        at.column = 0;
      }
      const part = text.slice(0, MAX_LINE - at.column);
      write(this.#open(stream, filled), at.column, { text: part, style: token.style });
      at.column += part.length;
      text = text.slice(part.length);
    }
  }

  /** The stream's current line, begun if there is none. */
  #open(stream: OutputStream, filled: Block[]): Line {
    const at = this.#cursors[stream];
    if (at.line) return at.line;
    if (this.#block.lines.length === BLOCK_LINES) this.#close(filled);
    at.line = { stream, segments: [], length: 0 };
    this.#block.lines.push(at.line);
    return at.line;
  }

  #close(filled: Block[]): void {
    this.#block.isFull = true;
    filled.push(this.#block);
    this.#block = { lines: [], isFull: false };
    // What follows of an open line of the other stream goes to a line of its own.
    for (const at of Object.values(this.#cursors)) {
      at.line = null;
      at.column = 0;
    }
  }
}

function cursor(): Cursor {
  return { parser: new AnsiParser(), line: null, column: 0 };
}

/** Writes over what the line has at this column. */
function write(line: Line, column: number, segment: Segment): void {
  if (column > line.length) append(line, { text: " ".repeat(column - line.length), style: segment.style });
  if (column === line.length) {
    append(line, segment);
    return;
  }
  const right = cut(line.segments, column + segment.text.length, line.length);
  line.segments = cut(line.segments, 0, column);
  line.length = column;
  for (const each of [segment, ...right]) append(line, each);
}

function append(line: Line, segment: Segment): void {
  const last = line.segments.at(-1);
  if (last && last.style === segment.style) last.text += segment.text;
  else line.segments.push({ ...segment });
  line.length += segment.text.length;
}

function erase(line: Line, part: "right" | "left" | "all", column: number): void {
  if (part !== "right") {
    const blank = { text: " ".repeat(Math.min(column + 1, line.length)), style: line.segments[0]?.style };
    if (blank.style) write(line, 0, { text: blank.text, style: blank.style });
  }
  if (part === "left") return;
  const kept = part === "all" ? 0 : Math.min(column, line.length);
  line.segments = cut(line.segments, 0, kept);
  line.length = kept;
}

/** The characters from one column to another. */
function cut(segments: Segment[], from: number, to: number): Segment[] {
  const found: Segment[] = [];
  let start = 0;
  for (const { text, style } of segments) {
    const part = text.slice(Math.max(0, from - start), Math.max(0, to - start));
    if (part !== "") found.push({ text: part, style });
    start += text.length;
  }
  return found;
}
