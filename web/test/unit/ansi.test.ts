import assert from "node:assert/strict";
import { test } from "node:test";
import { AnsiParser, type Token } from "../../src/output/ansi.js";
import { applySgr, cssColor, plain } from "../../src/output/style.js";

const encoder = new TextEncoder();

function parse(...pieces: (string | Uint8Array)[]): Token[] {
  const parser = new AnsiParser();
  const tokens = pieces.flatMap((piece) => parser.push(typeof piece === "string" ? encoder.encode(piece) : piece));
  return [...tokens, ...parser.end()];
}

/** The text that is left, with `|` for newlines and `<` for carriage returns. */
function text(...pieces: (string | Uint8Array)[]): string {
  const marks = { newline: "|", return: "<", backspace: "-", erase: "x" };
  return parse(...pieces)
    .map((token) => (token.kind === "text" ? token.text : marks[token.kind]))
    .join("");
}

test("text and line ends pass through", () => {
  assert.equal(text("a\nb\r\nc\bd\te"), "a|b<|c-d\te");
});

test("colours and attributes apply until they are reset", () => {
  const tokens = parse("a\x1b[1;31mb\x1b[22mc\x1b[0md\x1b[me");
  const styles = tokens.map((token) => (token.kind === "text" ? [token.text, token.style.fg, token.style.bold] : []));
  assert.deepEqual(styles, [
    ["a", null, false],
    ["b", 1, true],
    ["c", 1, false],
    ["d", null, false],
    ["e", null, false],
  ]);
  const last = tokens.at(-1);
  assert.ok(last?.kind === "text" && last.style === plain);
});

test("bright, 256 and true colours are read, with semicolons and colons", () => {
  assert.equal(applySgr(plain, "97").fg, 15);
  assert.equal(applySgr(plain, "104").bg, 12);
  assert.equal(applySgr(plain, "38;5;208").fg, 208);
  assert.equal(applySgr(plain, "48;2;1;2;255").bg, "#0102ff");
  assert.equal(applySgr(plain, "38:5:208").fg, 208);
  assert.equal(applySgr(plain, "38;5;208;1").bold, true);
});

test("colours out of range and unknown attributes change nothing", () => {
  for (const codes of ["38;5;256", "38;2;1;2;300", "38;9", "38", "38;5", "58", "999", "53"]) {
    assert.equal(applySgr(plain, codes), plain, codes);
  }
});

test("the palette of 256 colours is that of xterm", () => {
  assert.equal(cssColor(3), null);
  assert.equal(cssColor(16), "#000000");
  assert.equal(cssColor(208), "#ff8700");
  assert.equal(cssColor(231), "#ffffff");
  assert.equal(cssColor(232), "#080808");
  assert.equal(cssColor(255), "#eeeeee");
});

test("sequences that move the cursor, set titles or make links leave their text only", () => {
  assert.equal(text("\x1b[2J\x1b[1;1Ha\x1b[?25l\x1b]0;title\x07b\x1b(Bc\x1b=d\x1b[6 qe"), "abcde");
  assert.equal(text("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\"), "link");
});

test("a sequence may be cut anywhere", () => {
  const whole = "a\x1b[1;31mb\x1b]0;t\x07c\x1b]8;;x\x1b\\d\r\n";
  for (let at = 0; at <= whole.length; at++) {
    assert.deepEqual(text(whole.slice(0, at), whole.slice(at)), "abcd<|", `cut at ${at}`);
  }
});

test("a character may be cut anywhere", () => {
  const whole = encoder.encode("aä€😀z");
  for (let at = 0; at <= whole.length; at++) {
    assert.equal(text(whole.slice(0, at), whole.slice(at)), "aä€😀z", `cut at ${at}`);
  }
});

test("bytes that are not UTF-8 become replacement characters", () => {
  assert.equal(text(Uint8Array.of(0x61, 0xff, 0x62)), "a\ufffdb");
});

test("other controls are shown as symbols, and BEL is not", () => {
  assert.equal(text("a\x00b\x07c\x7f\x1b"), "a\u2400bc\u2421\u241b");
});

test("an endless sequence is shown as text instead of being kept", () => {
  const parser = new AnsiParser();
  const tokens = parser.push(encoder.encode(`\x1b]0;${"x".repeat(10_000)}`));
  const shown = tokens.map((token) => (token.kind === "text" ? token.text : "")).join("");
  assert.ok(shown.length > 10_000, String(shown.length));
});

test("any bytes in any pieces give the same text as in one piece", () => {
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  const alphabet = encoder.encode("\x1b[]0123;:m?\x07\\\r\n\bK aé€");
  for (let round = 0; round < 300; round++) {
    const bytes = Uint8Array.from({ length: 40 }, () => alphabet[random(alphabet.length)] ?? 0);
    const cut = random(41);
    const join = (tokens: string) => tokens;
    assert.equal(join(text(bytes.slice(0, cut), bytes.slice(cut))), join(text(bytes)), Buffer.from(bytes).toString("hex"));
  }
});
