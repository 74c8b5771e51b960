// The scrolling text of a job's output.

import type { OutputStream } from "../api/types.js";
import { bytes as readable } from "../format.js";
import { draw } from "./draw.js";
import { LineBuffer, type Block } from "./lines.js";
import { clearHighlights, find, highlight, reveal } from "./search.js";

export type Shown = "both" | OutputStream;

/** What the controls around the text show. */
export interface ViewState {
  isFollowing: boolean;
  matches: number;
  /** The current match, from 1; 0 if there is none. */
  current: number;
}

/** Output, or the line that stands for output that is not kept. */
type Piece = { stream: OutputStream; bytes: Uint8Array } | { stream: OutputStream; gap: string };

/** At most this far from the end counts as the end. Pixels. */
const END_TOLERANCE = 24;

/** Draws output as it comes into a scrolling element. */
export class OutputView {
  readonly #pieces: Piece[] = [];
  readonly #container: HTMLElement;
  readonly #onState: (state: ViewState) => void;
  #isMerged = false;
  #buffer = new LineBuffer(false);
  #last: HTMLElement;
  #shown: Shown = "both";
  #query = "";
  #matches: ReturnType<typeof find> = [];
  #current = 0;
  #isFollowing = true;
  #hasEnded = false;
  #frame = 0;
  #top = 0;

  constructor(container: HTMLElement, onState: (state: ViewState) => void) {
    this.#container = container;
    this.#onState = onState;
    this.#last = this.#addBlock();
    container.addEventListener("scroll", this.#scrolled, { passive: true });
  }

  /** Removes all that the view added to the page. */
  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#container.removeEventListener("scroll", this.#scrolled);
    this.#container.replaceChildren();
    clearHighlights();
  }

  /** Shows both streams as one text from now on. What came before, such as a gap at the beginning, is kept. */
  merge(): void {
    if (this.#isMerged) return;
    this.#isMerged = true;
    this.#redraw();
  }

  push(stream: OutputStream, bytes: Uint8Array): void {
    this.#add({ stream, bytes });
  }

  /** Output of this many bytes is not kept; a line says so at its place. */
  gap(stream: OutputStream, missing: number): void {
    this.#add({ stream, gap: `… ${readable(missing)} of ${stream} left out …` });
  }

  /** No more output follows. */
  end(): void {
    this.#hasEnded = true;
    this.#filled(this.#buffer.end());
    this.#schedule();
  }

  /** Shows both streams or one of them. */
  show(shown: Shown): void {
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#redraw();
  }

  /** Keeps the end in sight as output comes. */
  setFollowing(isFollowing: boolean): void {
    this.#isFollowing = isFollowing;
    if (isFollowing) this.#toEnd();
    this.#report();
  }

  search(query: string): void {
    this.#query = query;
    this.#current = 0;
    this.#search();
    if (this.#matches.length > 0) this.step(1);
    else this.#report();
  }

  /** Goes to the next match (1) or the previous one (-1). */
  step(by: 1 | -1): void {
    const count = this.#matches.length;
    if (count === 0) return;
    this.#current = this.#current === 0 && by < 0 ? count : ((this.#current - 1 + by + count) % count) + 1;
    highlight(this.#matches, this.#current - 1);
    this.#isFollowing = false;
    const match = this.#matches[this.#current - 1];
    if (match) reveal(match, this.#container);
    this.#report();
  }

  /** The bytes of one stream, or of both in the order in which they came, with the lines for gaps. */
  bytes(shown: Shown): Uint8Array[] {
    const wanted = this.#pieces.filter((piece) => shown === "both" || piece.stream === shown);
    return wanted.map((piece) => ("bytes" in piece ? piece.bytes : new TextEncoder().encode(`\n${piece.gap}\n`)));
  }

  #add(piece: Piece): void {
    this.#pieces.push(piece);
    this.#write(piece);
    this.#schedule();
  }

  #write(piece: Piece): void {
    if (this.#shown !== "both" && this.#shown !== piece.stream) return;
    if ("bytes" in piece) this.#filled(this.#buffer.push(piece.stream, piece.bytes));
    else this.#filled(this.#buffer.gap(piece.stream, piece.gap));
  }

  /** Replaces the drawn text by all pieces that came so far. */
  #redraw(): void {
    this.#container.replaceChildren();
    this.#buffer = new LineBuffer(this.#isMerged);
    this.#last = this.#addBlock();
    for (const piece of this.#pieces) this.#write(piece);
    if (this.#hasEnded) this.#filled(this.#buffer.end());
    this.#schedule();
  }

  #addBlock(): HTMLElement {
    const element = document.createElement("div");
    element.className = "output-block";
    this.#container.append(element);
    return element;
  }

  #filled(blocks: Block[]): void {
    for (const block of blocks) {
      draw(this.#last, block);
      this.#last = this.#addBlock();
    }
  }

  #schedule(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      draw(this.#last, this.#buffer.last);
      if (this.#query !== "") {
        this.#search();
        this.#report();
      }
      if (this.#isFollowing) this.#toEnd();
    });
  }

  #search(): void {
    this.#matches = find(this.#container.children, this.#query);
    this.#current = Math.min(this.#current, this.#matches.length);
    highlight(this.#matches, this.#current - 1);
  }

  #toEnd(): void {
    this.#container.scrollTop = this.#container.scrollHeight;
  }

  readonly #scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = this.#container;
    const wentUp = scrollTop < this.#top - 1;
    this.#top = scrollTop;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < END_TOLERANCE;
    // Output that came since the last frame moves the end away; only the user goes up.
    const isFollowing = isAtEnd || (this.#isFollowing && !wentUp);
    if (isFollowing === this.#isFollowing) return;
    this.#isFollowing = isFollowing;
    this.#report();
  };

  #report(): void {
    this.#onState({ isFollowing: this.#isFollowing, matches: this.#matches.length, current: this.#current });
  }
}
