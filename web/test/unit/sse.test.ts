import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser, type ServerEvent } from "../../../sdk/typescript/src/sse.js";

function parse(...pieces: string[]): ServerEvent[] {
  const parser = new EventParser();
  return pieces.flatMap((piece) => parser.push(piece));
}

const STREAM = 'event: output\nid: 3.0\ndata: {"text":"a\\n"}\n\n:\n\nevent: end\nid: 3.0.end\ndata: {}\n\n';
const EVENTS = [
  { event: "output", id: "3.0", data: '{"text":"a\\n"}' },
  { event: "end", id: "3.0.end", data: "{}" },
];

test("events are read, and comments are not", () => {
  assert.deepEqual(parse(STREAM), EVENTS);
});

test("a stream may be cut anywhere, with any line ends", () => {
  for (const stream of [STREAM, STREAM.replaceAll("\n", "\r\n"), STREAM.replaceAll("\n", "\r")]) {
    for (let at = 0; at <= stream.length; at++) {
      // A CR at the very end may be followed by an LF.
      assert.deepEqual(parse(stream.slice(0, at), stream.slice(at), "\n"), EVENTS, `cut at ${at}`);
    }
  }
});

test("lines of data are joined, and an event keeps the latest id", () => {
  assert.deepEqual(parse("id: 1\ndata: a\ndata: b\n\ndata:c\n\n"), [
    { event: "message", id: "1", data: "a\nb" },
    { event: "message", id: "1", data: "c" },
  ]);
});

test("an event without its end is not dispatched", () => {
  assert.deepEqual(parse("data: a\n"), []);
});
