// Whether the server answers. Requests report what they see; while the server does not answer, one request
// is repeated until it does.

import { Store } from "../store.js";

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 5000;

/** When the server stopped answering (milliseconds of the clock), or null while it answers. */
export const lostSince = new Store<number | null>(null);

/** Counts how often the server has come back; what was read before may be out of date. */
export const recoveries = new Store(0);

/** A request that has no effect; resolves if the server answered. */
type Probe = () => Promise<unknown>;

let probe: Probe = () => Promise.reject(new Error("no probe is set"));
let timer: ReturnType<typeof setTimeout> | undefined;

/** Sets the request that is repeated while the server does not answer. */
export function probeWith(request: Probe): void {
  probe = request;
}

/** The server did not answer a request. */
export function reportLost(): void {
  if (lostSince.value !== null) return;
  lostSince.set(Date.now());
  retry(FIRST_RETRY_MS);
}

/** The server answered a request. */
export function reportAnswer(): void {
  if (lostSince.value === null) return;
  clearTimeout(timer);
  lostSince.set(null);
  recoveries.set(recoveries.value + 1);
}

/** Tries at once instead of at the next interval. */
export function retryNow(): void {
  if (lostSince.value === null) return;
  clearTimeout(timer);
  void attempt(FIRST_RETRY_MS);
}

function retry(delay: number): void {
  timer = setTimeout(() => void attempt(delay), delay);
}

async function attempt(delay: number): Promise<void> {
  try {
    await probe();
    reportAnswer();
  } catch {
    if (lostSince.value !== null) retry(Math.min(delay * 1.6, MAX_RETRY_MS));
  }
}
