// Reads a recording of a terminal: an asciicast of version 2.

export interface Event {
  /** When it is played. Seconds; longer pauses are shortened. */
  time: number;
  kind: "output" | "size" | "marker";
  text: string;
}

export interface Recording {
  cols: number;
  rows: number;
  events: Event[];
  /** Seconds. */
  duration: number;
}

/** The longest pause between two events when it is played. Seconds. */
export const MAX_PAUSE = 2;
const KINDS: Record<string, Event["kind"]> = { o: "output", r: "size", m: "marker" };

/** The recording; null if the text is none. Lines that can't be read are left out. */
export function parse(text: string): Recording | null {
  const [first, ...lines] = text.split("\n");
  const header = read(first ?? "") as { version?: unknown; width?: unknown; height?: unknown } | null;
  if (header?.version !== 2 || !isSide(header.width) || !isSide(header.height)) return null;
  const events: Event[] = [];
  let [recorded, played] = [0, 0];
  for (const line of lines) {
    const event = read(line);
    if (!Array.isArray(event)) continue;
    const [time, code, data] = event as unknown[];
    const kind = typeof code === "string" ? KINDS[code] : undefined;
    if (typeof time !== "number" || kind === undefined || typeof data !== "string") continue;
    played += Math.min(MAX_PAUSE, Math.max(0, time - recorded));
    recorded = Math.max(recorded, time);
    events.push({ time: played, kind, text: data });
  }
  return { cols: header.width, rows: header.height, events, duration: played };
}

/** The columns and rows of an event of the kind "size"; null if they can't be read. */
export function size(text: string): { cols: number; rows: number } | null {
  const [cols, rows] = text.split("x").map(Number);
  return isSide(cols) && isSide(rows) ? { cols, rows } : null;
}

function isSide(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 1000;
}

function read(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
