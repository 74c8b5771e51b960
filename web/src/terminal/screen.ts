// Draws a terminal by xterm.js. This module is loaded when the first terminal is opened.

import { FitAddon } from "@xterm/addon-fit";
import type { Terminal } from "@xterm/xterm";
import type { Size } from "../../../sdk/typescript/src/channel.js";
import type { Screen } from "./client.js";
import { isReport } from "./reports.js";
import { screenReader } from "./screen-reader.js";
import { openTerminal } from "./xterm.js";

export interface ScreenEvents {
  onType: (bytes: Uint8Array) => void;
  onResize: (size: Size) => void;
  /** The user has pressed the key that moves the focus out of the terminal. */
  onLeave: () => void;
}

/** What a terminal has kept arrives within this time of its first byte. */
const REPLAY_MS = 400;

export class XtermScreen implements Screen {
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #observer: ResizeObserver;
  readonly #unsubscribe: () => void;
  /** Until when output repeats what was shown before; Infinity before its first byte. */
  #replayUntil = 0;
  /** How many pieces of repeated output are not shown yet. */
  #repeated = 0;

  constructor(container: HTMLElement, label: string, events: ScreenEvents) {
    const terminal = openTerminal(container, label, {
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      macOptionIsMeta: true,
    });
    this.#terminal = terminal;
    terminal.loadAddon(this.#fit);
    const encoder = new TextEncoder();
    terminal.onData((text) => {
      // The questions in repeated output were answered when it was new.
      if (this.#repeated > 0 && isReport(text)) return;
      events.onType(encoder.encode(text));
    });
    terminal.onBinary((text) => events.onType(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    terminal.onResize(events.onResize);
    terminal.attachCustomKeyEventHandler((event) => this.#isForTerminal(event, events));
    this.#fit.fit();
    this.#observer = new ResizeObserver(() => this.#fit.fit());
    this.#observer.observe(container);
    this.#unsubscribe = screenReader.subscribe(() => (terminal.options.screenReaderMode = screenReader.value));
  }

  get size(): Size {
    return { cols: this.#terminal.cols, rows: this.#terminal.rows };
  }

  write(bytes: Uint8Array, done?: () => void): void {
    const now = performance.now();
    if (this.#replayUntil === Infinity) this.#replayUntil = now + REPLAY_MS;
    const isRepeated = now < this.#replayUntil;
    if (isRepeated) this.#repeated += 1;
    this.#terminal.write(bytes, () => {
      if (isRepeated) this.#repeated -= 1;
      done?.();
    });
  }

  repeat(): void {
    this.#replayUntil = Infinity;
    this.#terminal.reset();
  }

  focus(): void {
    this.#terminal.focus();
  }

  /** Whether keys are taken; else the terminal can be read and copied only. */
  setTyping(isOn: boolean): void {
    this.#terminal.options.disableStdin = !isOn;
    this.#terminal.options.cursorInactiveStyle = isOn ? "outline" : "none";
  }

  dispose(): void {
    this.#observer.disconnect();
    this.#unsubscribe();
    this.#terminal.dispose();
  }

  /** Whether a key is for the program in the terminal; else the page or the browser has it. */
  #isForTerminal(event: KeyboardEvent, { onLeave }: ScreenEvents): boolean {
    if (event.type !== "keydown" || !event.ctrlKey || event.altKey || event.metaKey) return true;
    if (event.shiftKey && event.code === "Period") {
      event.preventDefault();
      onLeave();
      return false;
    }
    if (!event.shiftKey && event.code === "KeyC" && this.#terminal.hasSelection()) {
      // The browser copies; without a selection, the next Ctrl+C interrupts the program.
      setTimeout(() => this.#terminal.clearSelection());
      return false;
    }
    return true;
  }
}
