// The server's clock. Countdowns to its times must not depend on the clock of this computer.

/** A smaller difference may be the delay of the answer: `Date` counts whole seconds. */
const TOLERANCE_MS = 2000;

let aheadMs = 0;

/** Learns the server's time from the header `Date` of its answer. */
export function learnTime(date: string | null, now = Date.now()): void {
  const at = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(at)) return;
  const difference = at + 500 - now;
  aheadMs = Math.abs(difference) > TOLERANCE_MS ? difference : 0;
}

/** The server's time in milliseconds. */
export function serverNow(now = Date.now()): number {
  return now + aheadMs;
}
