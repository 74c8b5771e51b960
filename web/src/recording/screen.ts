// Draws a recording by xterm.js. This module is loaded when the first recording is opened.

import type { Terminal } from "@xterm/xterm";
import { openTerminal } from "../terminal/xterm.js";
import type { Stage } from "./playback.js";

export class RecordingScreen implements Stage {
  readonly #terminal: Terminal;

  constructor(container: HTMLElement, label: string) {
    // What it answers to questions in the output goes nowhere.
    this.#terminal = openTerminal(container, label, { disableStdin: true, cursorInactiveStyle: "none" });
    // It takes no keys, so that it is no stop for them: the player has its own.
    if (this.#terminal.textarea) this.#terminal.textarea.tabIndex = -1;
  }

  write(text: string): void {
    this.#terminal.write(text);
  }

  /** xterm.js writes later, and a size holds from its place in the output on. */
  resize(cols: number, rows: number): void {
    this.#terminal.write("", () => this.#terminal.resize(cols, rows));
  }

  reset(): void {
    this.#terminal.write("\x1bc");
  }

  dispose(): void {
    this.#terminal.dispose();
  }
}
