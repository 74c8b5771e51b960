import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode, isIntact } from "../../../sdk/typescript/src/frame.js";

// Made by the serializer of AWS's client and by an independent encoder, byte for byte the same.
const OUTPUT =
  "000000746f75747075745f73747265616d5f646174612020202020202020202020202020000000010000018bcfe5687b" +
  "000000000000000700000000000000008c9d0e1f2a3b4c5d0a1b2c3d4e5f4a6bcd2eca3535741f27a8ae40c31b0c41d4" +
  "057a7a7b912b33b9aed86485d1c84676000000010000000768656c6c6f0d0a";
const ACKNOWLEDGE_HEADER =
  "0000007461636b6e6f776c65646765202020202020202020202020202020202020202020000000010000018bcfe569c8" +
  "000000000000000000000000000000039766554433221100ffeeddccbbaa4988b96f8e8b2ea3a4b6509d530d53eb2b12" +
  "0abd61b20cd89ddc8fa323cef916e2a200000000000000b0";
const ID = "0a1b2c3d-4e5f-4a6b-8c9d-0e1f2a3b4c5d";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const fromHex = (text: string): ArrayBuffer => new Uint8Array(Buffer.from(text, "hex")).buffer;
const utf8 = (text: string) => new TextEncoder().encode(text);

test("a message of output is encoded and decoded as by AWS's client", async () => {
  const header = { messageType: "output_stream_data", created: 1700000000123, sequence: 7, flags: 0, messageId: ID, payloadType: 1 };
  assert.equal(hex(await encode(header, utf8("hello\r\n"))), OUTPUT);
  const frame = decode(fromHex(OUTPUT));
  assert.ok(frame);
  const { digest, payload, ...rest } = frame;
  assert.deepEqual(rest, header);
  assert.equal(hex(payload), hex(utf8("hello\r\n")));
  assert.equal(digest.length, 32);
  assert.ok(await isIntact(frame));
});

test("an acknowledgement is encoded as by AWS's client", async () => {
  const payload = utf8(
    `{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"${ID}",` +
      `"AcknowledgedMessageSequenceNumber":7,"IsSequentialMessage":true}`,
  );
  const messageId = "ffeeddcc-bbaa-4988-9766-554433221100";
  const header = { messageType: "acknowledge", created: 1700000000456, sequence: 0, flags: 3, messageId, payloadType: 0 };
  const bytes = await encode(header, payload);
  assert.equal(hex(bytes.subarray(0, 120)), ACKNOWLEDGE_HEADER);
  assert.equal(hex(bytes.subarray(120)), hex(payload));
});

test("a damaged payload is noticed", async () => {
  const frame = decode(fromHex(OUTPUT.replace(/0d0a$/, "0d0b")));
  assert.ok(frame && !(await isIntact(frame)));
});

test("messages of the service have a shorter header and a type that is padded with NUL", () => {
  const bytes = new Uint8Array(fromHex(OUTPUT).slice(0, 116));
  bytes[3] = 112;
  bytes.fill(0, 4, 36);
  bytes.set(utf8("channel_closed"), 4);
  const payload = utf8('{"Output":"bye"}');
  const frame = decode(new Uint8Array([...bytes.subarray(0, 112), 0, 0, 0, payload.length, ...payload]).buffer);
  assert.equal(frame?.messageType, "channel_closed");
  assert.equal(frame?.payloadType, 0);
  assert.equal(hex(frame?.payload ?? new Uint8Array()), hex(payload));
});

test("malformed messages are ignored", () => {
  assert.equal(decode(new ArrayBuffer(0)), null);
  assert.equal(decode(fromHex(OUTPUT).slice(0, 118)), null);
  assert.equal(decode(fromHex(`00000fff${OUTPUT.slice(8)}`)), null);
});
