// The client's end of a data channel of AWS Session Manager.

import { ACKNOWLEDGE_FLAGS, decode, encode, isIntact, newId, Payload, type Frame, type MessageType } from "./frame.js";
import { answerHandshake } from "./handshake.js";
import { Incoming, Outgoing } from "./sequence.js";
import { ResumableSocket, type Offer } from "./socket.js";

export type { Offer } from "./socket.js";

export interface Size {
  cols: number;
  rows: number;
}

export type Closed =
  /** The server ended the channel; the message is for the user and may be empty. */
  | { kind: "ended"; message: string; exitCode: number | null }
  /** The server did not accept the token; the message says why and may be empty. */
  | { kind: "refused"; message: string }
  /** There was no connection, for example because a proxy passes no WebSockets on. */
  | { kind: "unreachable" }
  | { kind: "lost" };

export interface ChannelEvents {
  /** The server has accepted the token. */
  onOpen: () => void;
  /** The connection was lost, and the channel is about to be resumed. */
  onLost: () => void;
  /** The channel goes on where it was cut. */
  onResumed: () => void;
  /** Output in order. `done` is called when it is shown: the sender waits while too much is not. */
  onOutput: (bytes: Uint8Array, done: () => void) => void;
  /** Called once. */
  onClosed: (closed: Closed) => void;
}

/** The largest payload of a message of input, by convention. Bytes. */
const CHUNK = 1024;
const TICK_MS = 100;
/** How long the server may leave a message unacknowledged before the connection counts as lost. */
const ACKNOWLEDGE_TIMEOUT_MS = 15_000;
/** How long the server may take to accept the connection. */
const OPEN_TIMEOUT_MS = 15_000;
/** Output that is received but not shown yet. Above this, acknowledgements wait. Bytes. */
const MAX_NOT_SHOWN = 512 << 10;

export class Channel {
  readonly #socket: ResumableSocket;
  readonly #events: ChannelEvents;
  readonly #incoming = new Incoming<Frame>();
  readonly #outgoing = new Outgoing();
  /** Digests are computed asynchronously; these chains keep the order of messages. */
  #receiving = Promise.resolve();
  #sending = Promise.resolve();
  #unsent: Uint8Array<ArrayBuffer>[] = [];
  /** Whether the server has asked for a handshake that is not complete. It drops input until then. */
  #inHandshake = false;
  /** Whether the service has said that the terminal's end is away. */
  #isPaused = false;
  #size: Size;
  #notShown = 0;
  #heldAcknowledgements: Frame[] = [];
  #exitCode: number | null = null;
  /** Whether the service has sent anything but a refusal. */
  #hasBegun = false;
  #isOpen = false;
  #isClosed = false;
  readonly #started = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(offer: Offer, size: Size, events: ChannelEvents, newSocket = (url: string) => new WebSocket(url)) {
    this.#size = size;
    this.#events = events;
    const onMessage = (data: ArrayBuffer) => {
      this.#receiving = this.#receiving.then(() => this.#receive(data));
    };
    // What was received before the end is processed first.
    const onClosed = (kind: "lost" | "refused" | "unreachable") => {
      const closed: Closed = kind === "refused" ? { kind, message: "" } : { kind };
      void this.#receiving.then(() => this.#close(closed));
    };
    const onConnected = () => this.resize(size);
    const onResumed = () => this.#resume();
    const { onLost } = events;
    this.#socket = new ResumableSocket(offer, { onConnected, onMessage, onLost, onResumed, onClosed }, newSocket);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Sends what was typed. */
  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += CHUNK) this.#unsent.push(bytes.slice(at, at + CHUNK));
    this.#sendInput();
  }

  resize(size: Size): void {
    this.#size = size;
    if (this.#socket.isOpen) this.#sendJson(Payload.size, { cols: size.cols, rows: size.rows });
  }

  /** Leaves the terminal; its program goes on. No event follows. */
  leave(): void {
    this.#isClosed = true;
    this.#stop();
  }

  /** Sends again what was not acknowledged, over a new connection. */
  #resume(): void {
    this.#events.onResumed();
    this.#outgoing.unacknowledged(performance.now()).forEach((message) => this.#socket.send(message));
    this.#sendInput();
    // It may have changed meanwhile.
    this.resize(this.#size);
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }

  #close(closed: Closed): void {
    if (this.#isClosed) return;
    this.leave();
    this.#events.onClosed(closed);
  }

  async #receive(data: ArrayBuffer): Promise<void> {
    const frame = decode(data);
    if (this.#isClosed || frame === null) return;
    if (frame.messageType !== "channel_closed") this.#hasBegun = true;
    if (frame.messageType === "output_stream_data") {
      // A damaged message is not acknowledged, so it comes again.
      if (!(await isIntact(frame)) || !this.#incoming.insert(frame.sequence, frame)) return;
      this.#isPaused = false;
      this.#opened();
      this.#acknowledge(frame);
      for (let next = this.#incoming.pop(); next; next = this.#incoming.pop()) this.#deliver(next);
    } else if (frame.messageType === "acknowledge") {
      this.#isPaused = false;
      this.#opened();
      const { AcknowledgedMessageSequenceNumber: sequence } = json(frame) as Record<string, unknown>;
      if (typeof sequence === "number") this.#outgoing.acknowledge(sequence, performance.now());
      this.#sendInput();
    } else if (frame.messageType === "start_publication" || frame.messageType === "pause_publication") {
      this.#isPaused = frame.messageType === "pause_publication";
      this.#sendInput();
    } else if (frame.messageType === "channel_closed") {
      const { Output: output } = json(frame) as Record<string, unknown>;
      const message = typeof output === "string" ? output : "";
      // The end of a channel before its beginning is a refusal.
      if (this.#hasBegun) this.#close({ kind: "ended", message, exitCode: this.#exitCode });
      else this.#close({ kind: "refused", message });
    }
  }

  #opened(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#socket.accept();
    this.#events.onOpen();
  }

  #deliver(frame: Frame): void {
    const { payload, payloadType } = frame;
    if (payloadType === Payload.output || payloadType === Payload.stderr) {
      // The server begins with an empty message, for clients of AWS.
      if (payload.length === 0) return;
      this.#notShown += payload.length;
      this.#events.onOutput(payload, () => this.#shown(payload.length));
    } else if (payloadType === Payload.exitCode) {
      const code = /^EXIT_CODE: *(-?\d+)/.exec(new TextDecoder().decode(payload).trim())?.[1];
      if (code !== undefined) this.#exitCode = Number(code);
    } else if (payloadType === Payload.handshakeRequest) {
      this.#inHandshake = true;
      this.#sendJson(Payload.handshakeResponse, answerHandshake(json(frame)));
    } else if (payloadType === Payload.handshakeComplete) {
      this.#inHandshake = false;
      // The size that was sent before was dropped.
      this.resize(this.#size);
      this.#sendInput();
    }
  }

  /** Acknowledges now, or once enough of what was received is shown. */
  #acknowledge(frame: Frame): void {
    if (this.#notShown < MAX_NOT_SHOWN) this.#sendAcknowledgement(frame);
    else this.#heldAcknowledgements.push(frame);
  }

  #shown(count: number): void {
    this.#notShown -= count;
    if (this.#notShown >= MAX_NOT_SHOWN) return;
    this.#heldAcknowledgements.splice(0).forEach((frame) => this.#sendAcknowledgement(frame));
  }

  #sendAcknowledgement(of: Frame): void {
    const payload = {
      AcknowledgedMessageType: of.messageType,
      AcknowledgedMessageId: of.messageId,
      AcknowledgedMessageSequenceNumber: of.sequence,
      IsSequentialMessage: true,
    };
    void this.#send("acknowledge", 0, ACKNOWLEDGE_FLAGS, Payload.none, bytes(payload));
  }

  /** Sends what waits, as far as the window permits. */
  #sendInput(): void {
    if (this.#inHandshake || this.#isPaused || !this.#socket.isOpen) return;
    while (this.#unsent.length > 0 && this.#outgoing.hasCapacity) {
      const payload = this.#unsent.shift();
      if (payload) this.#sendStream(Payload.output, payload);
    }
  }

  #sendJson(payloadType: number, payload: unknown): void {
    this.#sendStream(payloadType, bytes(payload));
  }

  #sendStream(payloadType: number, payload: Uint8Array<ArrayBuffer>): void {
    const sequence = this.#outgoing.take();
    // It counts as sent from now on, so that the window is kept while digests are computed.
    this.#outgoing.add(sequence, new Uint8Array(), performance.now());
    const flags = sequence === 0 ? 1 : 0;
    void this.#send("input_stream_data", sequence, flags, payloadType, payload);
  }

  #send(
    messageType: MessageType,
    sequence: number,
    flags: number,
    payloadType: number,
    payload: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    const header = { messageType, created: Date.now(), sequence, flags, messageId: newId(), payloadType };
    this.#sending = this.#sending.then(async () => {
      const message = await encode(header, payload);
      if (messageType === "input_stream_data") this.#outgoing.add(sequence, message, performance.now());
      this.#socket.send(message);
    });
    return this.#sending;
  }

  #tick(): void {
    const now = performance.now();
    if (!this.#isOpen && now - this.#started > OPEN_TIMEOUT_MS) return this.#close({ kind: "lost" });
    const since = this.#outgoing.waitingSince;
    if (!this.#socket.isOpen) return;
    if (since !== null && now - since > ACKNOWLEDGE_TIMEOUT_MS) return this.#socket.abandon();
    const message = this.#outgoing.due(now);
    if (message && message.length > 0) this.#socket.send(message);
  }
}

function bytes(payload: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(payload));
}

/** The JSON of a payload; an empty object if it is none. */
function json(frame: Frame): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(frame.payload));
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
