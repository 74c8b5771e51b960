// Splits the output of a command into text with a style and the few controls that change a line.

import { applySgr, plain, type Style } from "./style.js";

export type Token =
  | { kind: "text"; text: string; style: Style }
  | { kind: "newline" }
  | { kind: "return" }
  | { kind: "backspace" }
  /** Erases a part of the line: from the cursor on, up to it, or all of it. */
  | { kind: "erase"; part: "right" | "left" | "all" };

/** A longer escape sequence is not one. */
const MAX_SEQUENCE = 4096;
// CSI, then OSC, DCS, SOS, PM and APC strings, then sequences of ESC with intermediate bytes.
const SEQUENCE =
  /^\x1b(?:\[([0-9:;<=>?]*)([ -/]*)([@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\`-~])/;
const SPECIAL = /[\x00-\x08\x0a-\x1f\x7f]/g;

/** Reads one stream that arrives in pieces; a piece may end within a character or a sequence. */
export class AnsiParser {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #style: Style = plain;

  /** The tokens of this piece. */
  push(bytes: Uint8Array): Token[] {
    return this.#read(this.#rest + this.#decoder.decode(bytes, { stream: true }), false);
  }

  /** The tokens of what is left at the end of the stream. */
  end(): Token[] {
    return this.#read(this.#rest + this.#decoder.decode(), true);
  }

  #read(text: string, isLast: boolean): Token[] {
    const tokens: Token[] = [];
    let at = 0;
    this.#rest = "";
    while (at < text.length) {
      SPECIAL.lastIndex = at;
      const special = SPECIAL.exec(text)?.index ?? text.length;
      if (special > at) tokens.push({ kind: "text", text: text.slice(at, special), style: this.#style });
      if (special === text.length) break;
      if (text[special] !== "\x1b") {
        control(text.charCodeAt(special), this.#style, tokens);
        at = special + 1;
        continue;
      }
      const window = text.slice(special, special + MAX_SEQUENCE);
      const sequence = SEQUENCE.exec(window);
      if (sequence) {
        this.#sequence(sequence, tokens);
        at = special + sequence[0].length;
      } else if (!isLast && window.length < MAX_SEQUENCE && mayContinue(window)) {
        this.#rest = text.slice(special);
        break;
      } else {
        control(0x1b, this.#style, tokens);
        at = special + 1;
      }
    }
    return tokens;
  }

  #sequence(sequence: RegExpExecArray, tokens: Token[]): void {
    const [, parameters, intermediate, final] = sequence;
    if (parameters === undefined || intermediate !== "") return;
    if (final === "m" && !/[<=>?]/.test(parameters)) this.#style = applySgr(this.#style, parameters);
    if (final === "K") {
      const part = parameters === "1" ? "left" : parameters === "2" ? "all" : "right";
      tokens.push({ kind: "erase", part });
    }
  }
}

/** Whether a later piece can make this the beginning of a sequence. */
function mayContinue(text: string): boolean {
  return /^\x1b(?:\[[0-9:;<=>?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)$/.test(text);
}

function control(code: number, style: Style, tokens: Token[]): void {
  if (code === 0x0a) tokens.push({ kind: "newline" });
  else if (code === 0x0d) tokens.push({ kind: "return" });
  else if (code === 0x08) tokens.push({ kind: "backspace" });
  else if (code !== 0x07) {
    // Other controls are shown by the symbols that Unicode has for them.
    const symbol = code === 0x7f ? "\u2421" : String.fromCharCode(0x2400 + code);
    tokens.push({ kind: "text", text: symbol, style });
  }
}
