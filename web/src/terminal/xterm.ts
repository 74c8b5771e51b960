// What all uses of xterm.js share: its looks, its add-ons, and what this page permits it.

import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal, type ITerminalOptions, type ITheme } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { installConstructedStyles } from "./constructed-styles.js";
import { screenReader } from "./screen-reader.js";

const SCROLLBACK_LINES = 5000;

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

/** A terminal with this name, drawn in this element. */
export function openTerminal(container: HTMLElement, label: string, options: ITerminalOptions): Terminal {
  installConstructedStyles();
  const { fontFamily, fontSize } = getComputedStyle(container);
  const terminal = new Terminal({
    allowProposedApi: true,
    fontFamily,
    fontSize: Number.parseFloat(fontSize),
    lineHeight: 1.25,
    linkHandler: { activate: (event, url) => openHiddenLink(event, url) },
    screenReaderMode: screenReader.value,
    scrollback: SCROLLBACK_LINES,
    theme: THEME,
    ...options,
  });
  terminal.loadAddon(new Unicode11Addon());
  terminal.unicode.activeVersion = "11";
  terminal.loadAddon(new WebLinksAddon(openLink));
  terminal.open(container);
  terminal.textarea?.setAttribute("aria-label", label);
  return terminal;
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
