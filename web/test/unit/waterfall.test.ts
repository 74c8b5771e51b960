import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job, Session, TimelineEvent } from "../../src/api/types.js";
import { waterfall } from "../../src/session/waterfall.js";

const BEGIN = Date.parse("2026-11-26T12:00:00.000Z");
const at = (ms: number) => new Date(BEGIN + ms).toISOString();

function event(ms: number, type: TimelineEvent["type"], to: TimelineEvent["to"]): TimelineEvent {
  return { at: at(ms), type, to } as TimelineEvent;
}

function job(created: number, started?: number, finished?: number): Job {
  return {
    jobId: `job_${created}`,
    type: "execute",
    status: finished === undefined ? "running" : "completed",
    createdAt: at(created),
    ...(started === undefined ? {} : { startedAt: at(started) }),
    ...(finished === undefined ? {} : { finishedAt: at(finished) }),
  } as Job;
}

const START = [
  event(0, "accepted", "queued"),
  event(3, "provisioning", "provisioning"),
  event(6, "task_placed", "starting"),
  event(100, "task_running", "starting"),
  event(110, "ready", "ready"),
];
const END = [
  event(3_600_000, "stop_requested", "stopping"),
  event(3_600_040, "task_stopped", "stopping"),
  event(3_600_050, "stopped", "stopped"),
];
const open = {} as Session;
const ended = { endedAt: at(3_600_050) } as Session;

test("each status is a phase with its milliseconds", () => {
  const { phases } = waterfall(ended, [...START, ...END], [], BEGIN);
  const found = phases.map((bar) => [bar.phase, bar.from - BEGIN, bar.to - bar.from, bar.isOpen]);
  assert.deepEqual(found, [
    ["accepted", 0, 3, false],
    ["provisioning", 3, 3, false],
    ["starting", 6, 104, false],
    ["ready", 110, 3_599_890, false],
    ["stopping", 3_600_000, 50, false],
  ]);
});

test("the last phase of a live session lasts until now", () => {
  const { phases } = waterfall(open, START, [], BEGIN + 500);
  assert.deepEqual(phases.at(-1), { phase: "ready", from: BEGIN + 110, to: BEGIN + 500, isOpen: true });
});

test("a job waits from its acceptance to its start, and runs until its end or now", () => {
  const jobs = [job(5, 112, 130), job(200, 210), job(300)];
  const bars = waterfall(open, START, jobs, BEGIN + 500).jobs;
  assert.deepEqual(
    bars.map((bar) => [bar.from - BEGIN, bar.started - BEGIN, bar.to - BEGIN, bar.isOpen]),
    [
      [5, 112, 130, false],
      [200, 210, 500, true],
      [300, 500, 500, true],
    ],
  );
});

test("an hour of rest does not hide the milliseconds of the start", () => {
  const { axis } = waterfall(ended, [...START, ...END], [job(200, 210, 260)], BEGIN);
  const width = (from: number, to: number) => axis.position(BEGIN + to) - axis.position(BEGIN + from);
  assert.ok(width(6, 110) > 0.25, `starting: ${width(6, 110)}`);
  assert.ok(width(210, 260) > 0.1, `the job: ${width(210, 260)}`);
  assert.equal(axis.breaks.length, 1);
  assert.ok(width(260, 3_600_000) < 0.1, `the rest: ${width(260, 3_600_000)}`);
});

test("without long rests the axis is linear", () => {
  const { axis } = waterfall(open, START, [job(120, 130, 1000)], BEGIN + 1010);
  assert.equal(axis.breaks.length, 0);
  for (const ms of [0, 110, 505, 1010]) {
    assert.ok(Math.abs(axis.position(BEGIN + ms) - ms / 1010) < 1e-9, String(ms));
  }
});

test("positions never decrease and stay within the axis, whatever happens when", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  for (let round = 0; round < 200; round++) {
    const jobs = Array.from({ length: random(12) }, () => {
      const created = random(3_000_000);
      const started = created + random(10 ** random(7));
      return job(created, started, started + random(10 ** random(7)));
    });
    const { axis } = waterfall(ended, [...START, ...END], jobs, BEGIN);
    let last = 0;
    for (let ms = -1000; ms < 14_000_000; ms += 70_001) {
      const position = axis.position(BEGIN + ms);
      assert.ok(position >= last - 1e-9 && position <= 1 + 1e-9, `${position} after ${last}`);
      last = position;
    }
    for (const tick of axis.ticks(6)) assert.ok(tick.position >= 0 && tick.position <= 1);
  }
});

test("a session without an event has an empty waterfall", () => {
  const { phases, axis } = waterfall(open, [], [], BEGIN);
  assert.deepEqual([phases, axis.position(BEGIN), axis.ticks(6)], [[], 0, []]);
});
