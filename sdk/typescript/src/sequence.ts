// The order of messages in both directions, and what is sent again.

/** The largest distance of a message from the expected one, as in AWS's client. */
const MAX_AHEAD = 10_000;
/** Unacknowledged messages beyond this number wait. */
const MAX_IN_FLIGHT = 512;
const FIRST_ROUND_TRIP_MS = 100;
const FIRST_RESEND_MS = 200;
const MIN_MARGIN_MS = 10;
const MAX_RESEND_MS = 1000;

/** Restores the order of received messages and removes duplicates. */
export class Incoming<T> {
  #expected = 0;
  readonly #waiting = new Map<number, T>();

  /** Takes a message. False if it is too far ahead, so that the peer must send it again. */
  insert(sequence: number, message: T): boolean {
    if (sequence < this.#expected) return true;
    if (sequence - this.#expected > MAX_AHEAD) return false;
    this.#waiting.set(sequence, message);
    return true;
  }

  /** The next message in order. */
  pop(): T | undefined {
    const message = this.#waiting.get(this.#expected);
    if (message === undefined) return undefined;
    this.#waiting.delete(this.#expected);
    this.#expected += 1;
    return message;
  }
}

interface Sent {
  bytes: Uint8Array<ArrayBuffer>;
  firstSent: number;
  lastSent: number;
}

/** The sent messages that are not acknowledged yet. Times are milliseconds of one clock. */
export class Outgoing {
  #next = 0;
  readonly #sent = new Map<number, Sent>();
  #roundTrip = FIRST_ROUND_TRIP_MS;
  #variation = 0;
  #resendAfter = FIRST_RESEND_MS;

  /** The sequence number of the next message. */
  take(): number {
    return this.#next++;
  }

  get hasCapacity(): boolean {
    return this.#sent.size < MAX_IN_FLIGHT;
  }

  get isEmpty(): boolean {
    return this.#sent.size === 0;
  }

  add(sequence: number, bytes: Uint8Array<ArrayBuffer>, now: number): void {
    this.#sent.set(sequence, { bytes, firstSent: now, lastSent: now });
  }

  acknowledge(sequence: number, now: number): void {
    const sent = this.#sent.get(sequence);
    if (!sent) return;
    this.#sent.delete(sequence);
    const sample = now - sent.firstSent;
    this.#variation = (this.#variation * 3 + Math.abs(this.#roundTrip - sample)) / 4;
    this.#roundTrip = (this.#roundTrip * 7 + sample) / 8;
    const margin = Math.max(MIN_MARGIN_MS, 4 * this.#variation);
    this.#resendAfter = Math.min(this.#roundTrip + margin, MAX_RESEND_MS);
  }

  /**
   * The oldest message, if it is to be sent again now. Later messages are not sent again: the peer has
   * them, or they become the oldest in turn.
   */
  due(now: number): Uint8Array<ArrayBuffer> | null {
    const head = this.#head;
    if (!head || now < head.lastSent + this.#resendAfter) return null;
    head.lastSent = now;
    return head.bytes;
  }

  /** All messages that are not acknowledged, for a new connection: their time begins again. */
  unacknowledged(now: number): Uint8Array<ArrayBuffer>[] {
    const sent = [...this.#sent.values()].filter(({ bytes }) => bytes.length > 0);
    sent.forEach((message) => Object.assign(message, { firstSent: now, lastSent: now }));
    return sent.map(({ bytes }) => bytes);
  }

  /** When the oldest message was sent first; null if all are acknowledged. */
  get waitingSince(): number | null {
    return this.#head?.firstSent ?? null;
  }

  /** Messages are added in the order of their numbers, and a map keeps that order. */
  get #head(): Sent | undefined {
    return this.#sent.values().next().value;
  }
}
