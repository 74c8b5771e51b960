// The WebSocket of a data channel. When its connection is lost, it is opened again with the same token and
// client id, which the server takes for the same channel.

import { decode, newId } from "./frame.js";
import { CLIENT_VERSION } from "./handshake.js";

/** What a channel needs to be opened: the API's `terminal` of a job. */
export interface Offer {
  streamUrl: string;
  tokenValue: string;
}

export interface SocketEvents {
  /** The opening message was sent for the first time. */
  onConnected: () => void;
  onMessage: (data: ArrayBuffer) => void;
  /** An accepted connection was lost; it is opened again. */
  onLost: () => void;
  /** The server goes on with the channel: what it has not acknowledged is to be sent again. */
  onResumed: () => void;
  /**
   * Called once. "refused": the server closed the connection before it accepted the token; "unreachable": there
   * was no connection, for example because a proxy passes no WebSockets on.
   */
  onClosed: (kind: "lost" | "refused" | "unreachable") => void;
}

/** `WebSocket.OPEN`; Node.js 20 has no such class. */
const OPEN = 1;
/** How long a channel without a connection can be resumed, as on the server. */
const RESUME_MS = 30_000;
const RETRY_MS = 500;
/** How long the server may take to accept a connection. */
const OPEN_TIMEOUT_MS = 15_000;
/** The code with which a connection is closed that does not answer: the client does not leave by that. */
const LOST_CODE = 4000;

export class ResumableSocket {
  readonly #offer: Offer;
  readonly #events: SocketEvents;
  readonly #newSocket: (url: string) => WebSocket;
  readonly #clientId = newId();
  #socket: WebSocket;
  /** Whether the server has accepted the token. */
  #isAccepted = false;
  #isClosed = false;
  /** When the connection was lost; null while there is one. */
  #lostAt: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(offer: Offer, events: SocketEvents, newSocket: (url: string) => WebSocket) {
    this.#offer = offer;
    this.#events = events;
    this.#newSocket = newSocket;
    this.#socket = this.#open();
  }

  get isOpen(): boolean {
    return this.#lostAt === null && this.#socket.readyState === OPEN;
  }

  /** The token was accepted: from now on, a lost connection is opened again. */
  accept(): void {
    this.#isAccepted = true;
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    if (this.isOpen) this.#socket.send(data);
  }

  /** Gives up a connection that does not answer. */
  abandon(): void {
    this.#socket.close(LOST_CODE);
    this.#ended(this.#socket, true);
  }

  /** Leaves the channel; no event follows. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  #open(): WebSocket {
    const socket = this.#newSocket(this.#offer.streamUrl);
    const isResumed = this.#isAccepted;
    let wasConnected = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      wasConnected = true;
      socket.send(
        JSON.stringify({
          MessageSchemaVersion: "1.0",
          RequestId: newId(),
          TokenValue: this.#offer.tokenValue,
          ClientId: this.#clientId,
          ClientVersion: CLIENT_VERSION,
        }),
      );
      if (!isResumed) this.#events.onConnected();
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (socket !== this.#socket || !(data instanceof ArrayBuffer)) return;
      if (isResumed && this.#lostAt !== null) {
        if (decode(data)?.messageType !== "start_publication") return;
        this.#lostAt = null;
        clearTimeout(this.#timer);
        this.#events.onResumed();
      }
      this.#events.onMessage(data);
    };
    socket.onclose = () => this.#ended(socket, wasConnected);
    clearTimeout(this.#timer);
    if (isResumed) this.#timer = setTimeout(() => this.#ended(socket, false), OPEN_TIMEOUT_MS);
    return socket;
  }

  #ended(socket: WebSocket, wasConnected: boolean): void {
    if (socket !== this.#socket || this.#isClosed) return;
    const now = performance.now();
    if (!this.#isAccepted) return this.#end(wasConnected ? "refused" : "unreachable");
    if (this.#lostAt === null) {
      this.#lostAt = now;
      this.#events.onLost();
      // The listener may have left the channel.
      if (!this.#isClosed) this.#socket = this.#open();
    } else if (wasConnected || now - this.#lostAt > RESUME_MS) {
      this.#end("lost");
    } else {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => (this.#socket = this.#open()), RETRY_MS);
    }
  }

  #end(kind: "lost" | "refused" | "unreachable"): void {
    this.close();
    this.#events.onClosed(kind);
  }
}
