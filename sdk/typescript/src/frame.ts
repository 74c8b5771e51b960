// The binary messages of the data channel of AWS Session Manager. All integers are big-endian:
//
//   0 header length (116, or 112 without a payload type)   48 sequence number   80 SHA-256 of the payload
//   4 message type, padded with spaces to 32 bytes         56 flags            112 payload type
//  36 schema version                                       64 message id       116 payload length
//  40 created, ms since 1970                                                   120 payload

export type MessageType =
  | "input_stream_data"
  | "output_stream_data"
  | "acknowledge"
  | "channel_closed"
  | "start_publication"
  | "pause_publication";

/** The kinds of payload that a terminal has. */
export const Payload = {
  none: 0,
  output: 1,
  size: 3,
  handshakeRequest: 5,
  handshakeResponse: 6,
  handshakeComplete: 7,
  stderr: 11,
  exitCode: 12,
} as const;

/** The flags of an acknowledgement: SYN and FIN. */
export const ACKNOWLEDGE_FLAGS = 3;

export interface Header {
  messageType: MessageType | (string & {});
  /** Milliseconds since 1970. */
  created: number;
  sequence: number;
  flags: number;
  /** A UUID in its usual form. */
  messageId: string;
  payloadType: number;
}

export interface Frame extends Header {
  digest: Uint8Array;
  payload: Uint8Array;
}

const HEADER = 116;
/** The header of messages that come from the service itself has no payload type. */
const SHORT_HEADER = 112;
const TYPE = { start: 4, end: 36 };
const DIGEST = { start: 80, end: 112 };

/** The message as bytes, with the SHA-256 of its payload. */
export async function encode(header: Header, payload: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(HEADER + 4 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, HEADER);
  bytes.fill(0x20, TYPE.start, TYPE.end);
  bytes.set(new TextEncoder().encode(header.messageType), TYPE.start);
  view.setUint32(36, 1);
  view.setBigUint64(40, BigInt(header.created));
  view.setBigInt64(48, BigInt(header.sequence));
  view.setBigUint64(56, BigInt(header.flags));
  bytes.set(swapHalves(uuidBytes(header.messageId)), 64);
  bytes.set(await sha256(payload), DIGEST.start);
  view.setUint32(112, header.payloadType);
  view.setUint32(HEADER, payload.length);
  bytes.set(payload, HEADER + 4);
  return bytes;
}

/** Reads a message; null if it is malformed. The payload reaches to the end, whatever its length field says. */
export function decode(buffer: ArrayBuffer): Frame | null {
  if (buffer.byteLength < SHORT_HEADER + 4) return null;
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  const length = view.getUint32(0);
  if (length !== HEADER && length !== SHORT_HEADER) return null;
  if (buffer.byteLength < length + 4) return null;
  return {
    // Some peers pad with NUL, some on the left.
    messageType: new TextDecoder().decode(bytes.subarray(TYPE.start, TYPE.end)).replace(/^[\0 ]+|[\0 ]+$/g, ""),
    created: Number(view.getBigUint64(40)),
    sequence: Number(view.getBigInt64(48)),
    flags: Number(view.getBigUint64(56)),
    messageId: uuidText(swapHalves(bytes.slice(64, 80))),
    payloadType: length === HEADER ? view.getUint32(112) : Payload.none,
    digest: bytes.slice(DIGEST.start, DIGEST.end),
    payload: bytes.subarray(length + 4),
  };
}

/** Whether the payload has the digest that its header names. */
export async function isIntact(frame: Frame): Promise<boolean> {
  const digest = await sha256(frame.payload as Uint8Array<ArrayBuffer>);
  return digest.every((byte, index) => byte === frame.digest[index]);
}

/** Whether this page can compute digests: browsers permit it on https and on loopback only. */
export function canDigest(): boolean {
  return globalThis.crypto?.subtle !== undefined;
}

/** A random UUID. `crypto.randomUUID` exists where `crypto.subtle` does. */
export const newId = () => crypto.randomUUID();

async function sha256(payload: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", payload));
}

/** On the wire, the second half of a UUID precedes its first half. */
function swapHalves(id: Uint8Array): Uint8Array {
  const swapped = new Uint8Array(16);
  swapped.set(id.subarray(8), 0);
  swapped.set(id.subarray(0, 8), 8);
  return swapped;
}

function uuidBytes(text: string): Uint8Array {
  const digits = text.replaceAll("-", "").match(/../g) ?? [];
  return Uint8Array.from(digits, (pair) => Number.parseInt(pair, 16));
}

function uuidText(id: Uint8Array): string {
  const hex = Array.from(id, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
