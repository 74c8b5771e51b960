import assert from "node:assert/strict";
import { test } from "node:test";
import { parse, type Recording } from "../../src/recording/asciicast.js";
import { Playback } from "../../src/recording/playback.js";

const HEADER = '{"version":2,"width":80,"height":24,"timestamp":1}';

function recording(...events: [number, string, string][]): Recording {
  const found = parse([HEADER, ...events.map((event) => JSON.stringify(event)), ""].join("\n"));
  assert.ok(found);
  return found;
}

/** Notes what is drawn. */
class Notes {
  readonly drawn: string[] = [];
  write = (text: string) => void this.drawn.push(text);
  resize = (cols: number, rows: number) => void this.drawn.push(`${cols}x${rows}`);
  reset = () => void this.drawn.splice(0, this.drawn.length, "reset");
}

test("long pauses are shortened, and lines that can't be read are left out", () => {
  const found = parse([HEADER, '[0.5,"o","a"]', "nonsense", '[60,"o","b"]', '[60.5,"i","typed"]', '[61,"o"'].join("\n"));
  assert.deepEqual(found?.events.map(({ time, text }) => [time, text]), [[0.5, "a"], [2.5, "b"]]);
  assert.equal(found?.duration, 2.5);
});

test("what is no recording is not read", () => {
  for (const text of ["", "x", '{"version":3,"width":1,"height":1}', '{"version":2,"width":0,"height":1}']) {
    assert.equal(parse(text), null, text);
  }
});

test("a recording is played in its time, faster if wanted, and ends", (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  let now = 0;
  const notes = new Notes();
  const playback = new Playback(recording([1, "o", "a"], [2, "r", "100x30"], [2, "o", "b"], [3, "m", "the end"]), notes, () => now);
  const pass = (ms: number) => {
    now += ms;
    playback.tick();
  };
  playback.play();
  pass(500);
  assert.deepEqual(notes.drawn, ["reset", "80x24"]);
  pass(600);
  assert.deepEqual(notes.drawn.slice(2), ["a"]);
  playback.setSpeed(4);
  pass(250);
  assert.deepEqual(notes.drawn.slice(3), ["", "100x30", "b"]);
  pass(1000);
  assert.deepEqual(playback.state.value, { isPlaying: false, position: 3, marker: "the end" });
  playback.toggle();
  assert.deepEqual([notes.drawn, playback.state.value.position], [["reset", "80x24"], 0], "it begins again");
  playback.dispose();
});

test("a seek back draws from the beginning, one forward only what is new", () => {
  const notes = new Notes();
  const playback = new Playback(recording([1, "o", "a"], [2, "o", "b"], [3, "o", "c"]), notes);
  playback.seek(2.5);
  assert.deepEqual(notes.drawn.at(-1), "ab");
  playback.seek(9);
  assert.deepEqual(notes.drawn.at(-1), "c");
  playback.seek(1);
  assert.deepEqual(notes.drawn, ["reset", "80x24", "a"]);
  assert.equal(playback.state.value.isPlaying, false);
});
