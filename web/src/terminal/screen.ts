// Draws a terminal by xterm.js. This module is loaded when the first terminal is opened.

import { FitAddon } from "@xterm/addon-fit";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal, type ITheme } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import type { Size } from "../../../sdk/typescript/src/channel.js";
import type { Screen } from "./client.js";
import { installConstructedStyles } from "./constructed-styles.js";
import { isReport } from "./reports.js";
import { screenReader } from "./screen-reader.js";

export interface ScreenEvents {
  onType: (bytes: Uint8Array) => void;
  onResize: (size: Size) => void;
  /** The user has pressed the key that moves the focus out of the terminal. */
  onLeave: () => void;
}

const SCROLLBACK_LINES = 5000;
/** What a terminal has kept arrives within this time of its first byte. */
const REPLAY_MS = 400;

/** The colours of src/style/output.css. */
const THEME: ITheme = {
  background: "#0d1117",
  foreground: "#dde3ec",
  cursor: "#a5a8ff",
  cursorAccent: "#0d1117",
  selectionBackground: "#3b4a6b",
  scrollbarSliderBackground: "#ffffff26",
  scrollbarSliderHoverBackground: "#ffffff40",
  scrollbarSliderActiveBackground: "#ffffff59",
  black: "#6b7586",
  red: "#ff7b72",
  green: "#56d364",
  yellow: "#e3b341",
  blue: "#79b8ff",
  magenta: "#d2a8ff",
  cyan: "#56d4dd",
  white: "#c9d1d9",
  brightBlack: "#8b949e",
  brightRed: "#ffa198",
  brightGreen: "#7ee787",
  brightYellow: "#f2cc60",
  brightBlue: "#a5d6ff",
  brightMagenta: "#e2c5ff",
  brightCyan: "#8ae9ef",
  brightWhite: "#ffffff",
};

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
    installConstructedStyles();
    const { fontFamily, fontSize } = getComputedStyle(container);
    const terminal = new Terminal({
      allowProposedApi: true,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      fontFamily,
      fontSize: Number.parseFloat(fontSize),
      lineHeight: 1.25,
      linkHandler: { activate: (event, url) => openHiddenLink(event, url) },
      macOptionIsMeta: true,
      screenReaderMode: screenReader.value,
      scrollback: SCROLLBACK_LINES,
      theme: THEME,
    });
    this.#terminal = terminal;
    terminal.loadAddon(this.#fit);
    terminal.loadAddon(new Unicode11Addon());
    terminal.unicode.activeVersion = "11";
    terminal.loadAddon(new WebLinksAddon(openLink));
    terminal.open(container);
    terminal.textarea?.setAttribute("aria-label", label);
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

/** Opens an address that the output shows, on a click with Ctrl or Command. */
function openLink(event: MouseEvent, url: string): void {
  if (event.ctrlKey || event.metaKey) window.open(url, "_blank", "noopener,noreferrer");
}

/** The same for a link whose text may differ from its address. */
function openHiddenLink(event: MouseEvent, url: string): void {
  if (!(event.ctrlKey || event.metaKey) || !/^https?:\/\//i.test(url)) return;
  if (confirm(`Open this address?\n\n${url}`)) openLink(event, url);
}
