import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutputStream } from "../../src/api/types.js";
import { BLOCK_LINES, LineBuffer, MAX_LINE, type Line } from "../../src/output/lines.js";

const encoder = new TextEncoder();

function lines(...pieces: [OutputStream, string][]): Line[] {
  return linesOf(new LineBuffer(false), pieces);
}

function linesOf(buffer: LineBuffer, pieces: [OutputStream, string][]): Line[] {
  const filled = pieces.flatMap(([stream, text]) => buffer.push(stream, encoder.encode(text)));
  filled.push(...buffer.end());
  return [...filled, buffer.last].flatMap((block) => block.lines);
}

function texts(...pieces: [OutputStream, string][]): string[] {
  return lines(...pieces).map((line) => line.segments.map((segment) => segment.text).join(""));
}

test("pieces of a stream are joined to lines", () => {
  assert.deepEqual(texts(["stdout", "ab"], ["stdout", "c\n\nd"]), ["abc", "", "d"]);
});

test("a line stands where its first piece arrived, whatever the other stream writes meanwhile", () => {
  const found = lines(["stdout", "out "], ["stderr", "error\n"], ["stdout", "put\n"]);
  assert.deepEqual(
    found.map((line) => [line.stream, line.segments.map((segment) => segment.text).join("")]),
    [
      ["stdout", "out put"],
      ["stderr", "error"],
    ],
  );
});

test("merged streams are one text, in which a line has the stream of its first piece", () => {
  const buffer = new LineBuffer(true);
  const found = linesOf(buffer, [["stdout", "out\nhalf "], ["stderr", "error\nbad\n"], ["stdout", "out\n"]]);
  assert.deepEqual(
    found.map((line) => [line.stream, line.segments.map((segment) => segment.text).join("")]),
    [
      ["stdout", "out"],
      ["stdout", "half error"],
      ["stderr", "bad"],
      ["stdout", "out"],
    ],
  );
  buffer.push("stderr", encoder.encode("cut"));
  buffer.gap("stdout", "gap");
  buffer.push("stderr", encoder.encode("on"));
  assert.deepEqual(buffer.last.lines.slice(-3).map((line) => line.stream), ["stderr", "gap", "stderr"]);
});

test("a carriage return lets a progress line be written over", () => {
  assert.deepEqual(texts(["stdout", "10 %\r20 %\r100 %\n"]), ["100 %"]);
  assert.deepEqual(texts(["stdout", "abcdef\rXY\n"]), ["XYcdef"]);
  assert.deepEqual(texts(["stdout", "a\r\nb\r\n"]), ["a", "b"]);
});

test("a backspace goes back, and erasing removes a part of the line", () => {
  assert.deepEqual(texts(["stdout", "abc\b\bX\n"]), ["aXc"]);
  assert.deepEqual(texts(["stdout", "abcdef\rab\x1b[K\n"]), ["ab"]);
  assert.deepEqual(texts(["stdout", "abcdef\x1b[2K\rnew\n"]), ["new"]);
  assert.deepEqual(texts(["stdout", "abc\x1b[1K\n"]), ["   "]);
});

test("writing over a part of a line keeps the colours of the rest", () => {
  const [line] = lines(["stdout", "\x1b[31mred\x1b[0m plain\r\x1b[32mG"]);
  const segments = line?.segments.map(({ text, style }) => [text, style.fg]);
  assert.deepEqual(segments, [
    ["G", 2],
    ["ed", 1],
    [" plain", null],
  ]);
});

test("a very long line is broken", () => {
  const found = lines(["stdout", "x".repeat(2 * MAX_LINE + 5)]);
  assert.deepEqual(
    found.map((line) => line.length),
    [MAX_LINE, MAX_LINE, 5],
  );
});

test("full blocks are handed out once, and lose no line", () => {
  const buffer = new LineBuffer(false);
  const numbers = Array.from({ length: 2 * BLOCK_LINES + 10 }, (_, index) => String(index));
  const filled = buffer.push("stdout", encoder.encode(`${numbers.join("\n")}\n`));
  assert.deepEqual(
    filled.map((block) => [block.lines.length, block.isFull]),
    [
      [BLOCK_LINES, true],
      [BLOCK_LINES, true],
    ],
  );
  const all = [...filled, buffer.last].flatMap((block) => block.lines.map((line) => line.segments[0]?.text));
  assert.deepEqual(all, numbers);
});

test("a line that is open when its block is full goes on in a new line", () => {
  const many = "e\n".repeat(BLOCK_LINES);
  const found = texts(["stdout", "open"], ["stderr", many], ["stdout", "rest\n"]);
  assert.equal(found[0], "open");
  assert.equal(found.at(-1), "rest");
});

test("a gap is a line of its own, and ends what it cuts", () => {
  const buffer = new LineBuffer(false);
  // The gap cuts a line, its colour, and a character of three bytes.
  const begin = Uint8Array.from([...encoder.encode("a\n\x1b[31mred"), 0xe2, 0x82]);
  const filled = [...buffer.push("stdout", begin), ...buffer.gap("stdout", "… left out …")];
  filled.push(...buffer.push("stdout", encoder.encode("b\n")), ...buffer.end());
  const found = [...filled, buffer.last].flatMap((block) => block.lines);
  assert.deepEqual(
    found.map((line) => [line.stream, line.segments.map(({ text }) => text).join("")]),
    [
      ["stdout", "a"],
      ["stdout", "red\ufffd"],
      ["gap", "… left out …"],
      ["stdout", "b"],
    ],
  );
  assert.equal(found[3]?.segments[0]?.style.fg, null);
});
