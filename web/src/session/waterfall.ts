// The waterfall of a session: which bar is where. Time without any event is compressed, so that
// milliseconds of the start can be seen beside hours of rest.

import { isCommand, type Job, type Session, type SessionStatus, type TimelineEvent } from "../api/types.js";

export type Phase = "accepted" | "provisioning" | "starting" | "ready" | "stopping";

export interface PhaseBar {
  phase: Phase;
  from: number;
  to: number;
  isOpen: boolean;
}

export interface JobBar {
  job: Job;
  /** When it was accepted. */
  from: number;
  /** When it began to run; `to` if it never did. */
  started: number;
  to: number;
  isOpen: boolean;
}

/** A stretch of the axis. Positions are fractions of its width. */
interface Stretch {
  from: number;
  to: number;
  left: number;
  width: number;
  isCompressed: boolean;
}

export interface Waterfall {
  phases: PhaseBar[];
  jobs: JobBar[];
  axis: Axis;
}

const PHASES: Partial<Record<SessionStatus, Phase>> = {
  queued: "accepted",
  provisioning: "provisioning",
  starting: "starting",
  ready: "ready",
  stopping: "stopping",
};

/** A stretch without events is compressed if it is longer than this part of all others together. */
const LONG = 0.5;
/** How wide a compressed stretch is. */
const COMPRESSED_WIDTH = 0.07;
/** All compressed stretches together are at most this wide. */
const MAX_COMPRESSED = 0.4;

/** The waterfall of a session at this time (milliseconds). */
export function waterfall(session: Session, events: TimelineEvent[], jobs: Job[], now: number): Waterfall {
  const phases = phaseBars(session, events, now);
  const bars = jobs.filter((job) => isCommand(job)).map((job) => jobBar(job, now));
  return { phases, jobs: bars, axis: axis(phases, bars) };
}

/** The phases in their order, from the status after each event; a phase may come twice. */
function phaseBars(session: Session, events: TimelineEvent[], now: number): PhaseBar[] {
  const bars: PhaseBar[] = [];
  let open: PhaseBar | null = null;
  for (const event of events) {
    const at = Date.parse(event.at);
    const phase = PHASES[event.to];
    if (open && open.phase === phase) continue;
    if (open) open.to = at;
    open = phase ? { phase, from: at, to: at, isOpen: false } : null;
    if (open) bars.push(open);
  }
  if (open) {
    open.to = session.endedAt ? Date.parse(session.endedAt) : Math.max(now, open.from);
    open.isOpen = !session.endedAt;
  }
  return bars;
}

function jobBar(job: Job, now: number): JobBar {
  const from = Date.parse(job.createdAt);
  const to = job.finishedAt ? Date.parse(job.finishedAt) : Math.max(now, from);
  const started = job.startedAt ? Date.parse(job.startedAt) : to;
  return { job, from, started, to, isOpen: !job.finishedAt };
}

/** Maps times to positions. */
export class Axis {
  constructor(readonly stretches: Stretch[]) {}

  /** The position of a time, from 0 to 1. */
  position(at: number): number {
    const last = this.stretches.at(-1);
    if (!last) return 0;
    const found = this.stretches.find((stretch) => at < stretch.to) ?? last;
    const part = found.to > found.from ? (at - found.from) / (found.to - found.from) : 0;
    return found.left + found.width * Math.min(1, Math.max(0, part));
  }

  /** The compressed stretches. */
  get breaks(): Stretch[] {
    return this.stretches.filter((stretch) => stretch.isCompressed);
  }

  /** Round times after the begin for labels, in milliseconds, each with its position. */
  ticks(count: number): { ms: number; position: number }[] {
    const begin = this.stretches[0]?.from ?? 0;
    const found: { ms: number; position: number }[] = [];
    for (const stretch of this.stretches.filter((each) => !each.isCompressed && each.to > each.from)) {
      const step = roundStep((stretch.to - stretch.from) / (count * stretch.width));
      for (let ms = Math.ceil((stretch.from - begin) / step) * step; ms <= stretch.to - begin; ms += step) {
        const position = this.position(begin + ms);
        const isFar = found.every((tick) => Math.abs(tick.position - position) > 0.5 / count);
        if (isFar && position < 0.97) found.push({ ms, position });
      }
    }
    return found;
  }
}

/** The next larger of 1, 2 and 5 times a power of ten. */
function roundStep(ms: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, ms)));
  const factor = [1, 2, 5, 10].find((each) => each * power >= ms) ?? 10;
  return factor * power;
}

function axis(phases: PhaseBar[], jobs: JobBar[]): Axis {
  const busy = [
    ...phases.filter((bar) => bar.phase !== "ready" && bar.phase !== "accepted"),
    ...jobs.map(({ started, to }) => ({ from: started, to })),
  ];
  const all = [...phases, ...jobs];
  const bounds = all.flatMap((bar) => ["started" in bar ? bar.started : bar.from, bar.from, bar.to]);
  const times = [...new Set(bounds)].sort((a, b) => a - b);
  const stretches: Stretch[] = [];
  for (const [index, to] of times.entries()) {
    const from = times[index - 1];
    if (from === undefined) continue;
    const isBusy = busy.some((bar) => bar.from < to && bar.to > from);
    stretches.push({ from, to, left: 0, width: 0, isCompressed: !isBusy });
  }
  compress(stretches);
  return new Axis(stretches);
}

/** Decides which idle stretches are compressed, and sets the positions of all. */
function compress(stretches: Stretch[]): void {
  const idle = stretches.filter((stretch) => stretch.isCompressed).sort((a, b) => length(a) - length(b));
  let shown = stretches.filter((stretch) => !stretch.isCompressed).reduce((sum, each) => sum + length(each), 0);
  // The shortest first: each one that is shown makes room for the next one.
  for (const stretch of idle) {
    if (shown > 0 && length(stretch) > shown * LONG) break;
    stretch.isCompressed = false;
    shown += length(stretch);
  }
  const compressed = stretches.filter((stretch) => stretch.isCompressed).length;
  const width = Math.min(COMPRESSED_WIDTH, MAX_COMPRESSED / Math.max(1, compressed));
  const rest = 1 - width * compressed;
  let left = 0;
  for (const stretch of stretches) {
    stretch.left = left;
    stretch.width = stretch.isCompressed ? width : (rest * length(stretch)) / Math.max(1, shown);
    left += stretch.width;
  }
}

function length(stretch: Stretch): number {
  return stretch.to - stretch.from;
}
