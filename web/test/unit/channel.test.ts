import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Channel, type Closed } from "../../../sdk/typescript/src/channel.js";
import { decode, encode, newId, Payload, type Frame } from "../../../sdk/typescript/src/frame.js";
import { isReport } from "../../src/terminal/reports.js";
import { Incoming, Outgoing } from "../../../sdk/typescript/src/sequence.js";
import { reachable } from "../../src/terminal/url.js";

const utf8 = (text: string) => new TextEncoder().encode(text);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Digests that are being computed: besides timers, a channel waits for nothing else. */
let digests = 0;
const { subtle } = crypto;
const digest = subtle.digest.bind(subtle);
subtle.digest = async (...input) => {
  digests += 1;
  try {
    return await digest(...input);
  } finally {
    digests -= 1;
  }
};

/** Waits until a channel has done all that follows from what has happened. Its promises go on before the next turn. */
async function settle(): Promise<void> {
  do {
    await new Promise((resolve) => setImmediate(resolve));
  } while (digests > 0);
}

/** A time that passes only when a test says so. */
class Clock {
  readonly #timers;
  #now = 0;

  constructor({ mock }: TestContext) {
    mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
    mock.method(performance, "now", () => this.#now);
    this.#timers = mock.timers;
  }

  async pass(ms: number): Promise<void> {
    for (const end = this.#now + ms; this.#now < end; ) {
      this.#now += TICK_MS;
      this.#timers.tick(TICK_MS);
      await settle();
    }
  }
}

/** How often a channel looks whether there is something to do. */
const TICK_MS = 100;

/** The server's end of a WebSocket. */
class FakeSocket {
  binaryType = "";
  readyState = 0;
  onopen = () => undefined as void;
  onmessage = (_: { data: unknown }) => undefined as void;
  onclose = () => undefined as void;
  readonly texts: string[] = [];
  readonly frames: Frame[] = [];

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (typeof data === "string") this.texts.push(data);
    else {
      const frame = decode(data.slice().buffer);
      assert.ok(frame);
      this.frames.push(frame);
    }
  }

  close(): void {
    this.readyState = 3;
  }

  open(): void {
    this.readyState = 1;
    this.onopen();
  }

  async receive(sequence: number, payload: string, payloadType: number = Payload.output): Promise<void> {
    await this.receiveAs("output_stream_data", sequence, payload, payloadType);
  }

  async receiveAs(messageType: string, sequence: number, payload: string, payloadType = 0): Promise<void> {
    const header = { messageType, created: 1, sequence, flags: 0, messageId: newId(), payloadType };
    this.onmessage({ data: (await encode(header, utf8(payload))).buffer });
    await settle();
  }

  acknowledge = (sequence: number) =>
    this.receiveAs("acknowledge", 0, JSON.stringify({ AcknowledgedMessageSequenceNumber: sequence }));

  /** The streamed messages: their numbers and payloads. */
  get input(): [number, number, string][] {
    const stream = this.frames.filter((frame) => frame.messageType === "input_stream_data");
    return stream.map((frame) => [frame.sequence, frame.payloadType, text(frame.payload)]);
  }

  /** The sequence numbers that the client has acknowledged. */
  get acknowledged(): number[] {
    const acknowledgements = this.frames.filter((frame) => frame.messageType === "acknowledge");
    return acknowledgements.map((frame) => {
      assert.equal(frame.flags, 3);
      return (JSON.parse(text(frame.payload)) as Record<string, number>).AcknowledgedMessageSequenceNumber ?? -1;
    });
  }
}

interface Opened {
  /** The first WebSocket of the channel. */
  socket: FakeSocket;
  /** All of them. */
  sockets: FakeSocket[];
  channel: Channel;
  output: string[];
  closed: Closed[];
  shown: (() => void)[];
  clock: Clock;
}

/** A channel whose output is shown at once, unless it `isSlow`. */
function opened(context: TestContext, isSlow = false, clock = new Clock(context)): Opened {
  const socket = new FakeSocket();
  const sockets: FakeSocket[] = [];
  const [output, closed, shown]: [string[], Closed[], (() => void)[]] = [[], [], []];
  const onOutput = (bytes: Uint8Array, done: () => void) => {
    output.push(text(bytes));
    if (isSlow) shown.push(done);
    else done();
  };
  const note = (event: string) => () => void output.push(event);
  const onClosed = (by: Closed) => void closed.push(by);
  const events = { onOpen: note("open"), onLost: note("lost"), onResumed: note("resumed"), onOutput, onClosed };
  const newSocket = () => {
    const opened = sockets.length === 0 ? socket : new FakeSocket();
    sockets.push(opened);
    return opened as unknown as WebSocket;
  };
  const offer = { streamUrl: "ws://server/", tokenValue: "secret" };
  const channel = new Channel(offer, { cols: 100, rows: 30 }, events, newSocket);
  context.after(() => channel.leave());
  return { socket, sockets, channel, output, closed, shown, clock };
}

test("the token opens the channel, and the size follows", async (context) => {
  const { socket } = opened(context);
  socket.open();
  await settle();
  const first = JSON.parse(socket.texts[0] ?? "") as Record<string, string>;
  assert.equal(first.TokenValue, "secret");
  assert.equal(first.MessageSchemaVersion, "1.0");
  assert.deepEqual(socket.input, [[0, Payload.size, '{"cols":100,"rows":30}']]);
  assert.equal(socket.frames[0]?.flags, 1, "the first message has the flag SYN");
});

test("output is shown in order and once, and each message is acknowledged", async (context) => {
  const { socket, output } = opened(context);
  socket.open();
  await socket.receive(1, "b");
  await socket.receive(0, "a");
  await socket.receive(0, "a");
  await socket.receive(2, "c");
  assert.deepEqual(output, ["open", "a", "b", "c"]);
  assert.deepEqual(socket.acknowledged, [1, 0, 0, 2]);
});

test("a message is sent again until it is acknowledged", async (context) => {
  const { socket, channel, clock } = opened(context);
  socket.open();
  channel.write(utf8("ls\r"));
  await settle();
  await socket.acknowledge(0);
  const count = () => socket.input.filter(([sequence]) => sequence === 1).length;
  assert.equal(count(), 1);
  await clock.pass(1000);
  const sent = count();
  assert.ok(sent > 1, `${sent}`);
  await socket.acknowledge(1);
  await clock.pass(5000);
  assert.equal(count(), sent);
  assert.deepEqual(new Set(socket.input.slice(1).map(([, , payload]) => payload)), new Set(["ls\r"]));
});

test("long input is cut into messages of 1 KiB, and only some are under way", async (context) => {
  const { socket, channel, clock } = opened(context);
  socket.open();
  channel.write(new Uint8Array(1024 * 600).fill(0x78));
  const sent = () => new Set(socket.input.map(([sequence]) => sequence)).size;
  await settle();
  await clock.pass(1000);
  assert.equal(sent(), 512);
  for (let sequence = 0; sequence < 512; sequence++) await socket.acknowledge(sequence);
  assert.equal(sent(), 601);
});

test("while too much is not shown, acknowledgements wait", async (context) => {
  const { socket, shown } = opened(context, true);
  socket.open();
  await socket.receive(0, "x".repeat(600 << 10));
  await socket.receive(1, "y");
  assert.deepEqual(socket.acknowledged, [0]);
  shown.forEach((done) => done());
  await settle();
  assert.deepEqual(socket.acknowledged, [0, 1]);
});

test("a handshake is answered, and input waits until it is complete", async (context) => {
  const { socket, channel } = opened(context);
  socket.open();
  const actions = [{ ActionType: "SessionType" }, { ActionType: "KMSEncryption" }, { ActionType: "Other" }];
  await socket.receive(0, JSON.stringify({ RequestedClientActions: actions }), Payload.handshakeRequest);
  channel.write(utf8("early"));
  await settle();
  assert.deepEqual(socket.input.map(([, type]) => type), [Payload.size, Payload.handshakeResponse]);
  const response = JSON.parse(socket.input[1]?.[2] ?? "") as { ProcessedClientActions: { ActionStatus: number }[] };
  assert.deepEqual(response.ProcessedClientActions.map((action) => action.ActionStatus), [1, 2, 3]);
  await socket.receive(1, "{}", Payload.handshakeComplete);
  assert.deepEqual(socket.input.slice(2).map(([, , payload]) => payload), ['{"cols":100,"rows":30}', "early"]);
});

test("input waits while the service says that the other end is away", async (context) => {
  const { socket, channel } = opened(context);
  socket.open();
  await socket.receiveAs("pause_publication", 0, "");
  channel.write(utf8("x"));
  await settle();
  assert.equal(socket.input.length, 1);
  await socket.receiveAs("start_publication", 0, "");
  assert.equal(socket.input.length, 2);
});

test("the end has the server's message and the exit code", async (context) => {
  const { socket, closed } = opened(context);
  socket.open();
  await socket.receive(0, "EXIT_CODE: 3", Payload.exitCode);
  await socket.receiveAs("channel_closed", 0, '{"Output":"the server stops"}');
  assert.deepEqual(closed, [{ kind: "ended", message: "the server stops", exitCode: 3 }]);
  socket.onclose();
  await settle();
  assert.equal(closed.length, 1);
});

test("a connection that ends before the token is accepted was refused; later, it was lost", async (context) => {
  const refused = opened(context);
  refused.socket.open();
  refused.socket.onclose();
  await settle();
  assert.deepEqual(refused.closed, [{ kind: "refused", message: "" }]);
  const refusedWithMessage = opened(context, false, refused.clock);
  refusedWithMessage.socket.open();
  await refusedWithMessage.socket.receiveAs("channel_closed", 0, '{"Output":"the token was used"}');
  const closed: Closed[] = [{ kind: "refused", message: "the token was used" }];
  assert.deepEqual(refusedWithMessage.closed, closed, "the end of the connection is not waited for");
  assert.equal(refusedWithMessage.socket.readyState, 3);
  refusedWithMessage.socket.onclose();
  await settle();
  assert.deepEqual(refusedWithMessage.closed, closed);
  const unreachable = opened(context, false, refused.clock);
  unreachable.socket.onclose();
  await settle();
  assert.deepEqual(unreachable.closed, [{ kind: "unreachable" }]);
  const lost = opened(context, false, refused.clock);
  lost.socket.open();
  await lost.socket.receive(0, "a");
  lost.socket.onclose();
  // The server does not know the channel any more.
  lost.sockets[1]?.open();
  lost.sockets[1]?.onclose();
  await settle();
  assert.deepEqual(lost.closed, [{ kind: "lost" }]);
});

test("a lost connection is resumed: what was not acknowledged is sent again, and nothing is shown twice", async (context) => {
  const { socket, sockets, channel, output, closed, clock } = opened(context);
  socket.open();
  await socket.receive(0, "a");
  await socket.acknowledge(0);
  channel.write(utf8("x"));
  await settle();
  socket.onclose();
  channel.write(utf8("y"));
  const resumed = () => sockets.at(-1) as FakeSocket;
  // The server can't be reached at first.
  resumed().onclose();
  assert.equal(sockets.length, 2);
  await clock.pass(500);
  assert.equal(sockets.length, 3);
  resumed().open();
  const [first, again] = [socket, resumed()].map(({ texts }) => JSON.parse(texts[0] ?? "") as Record<string, string>);
  assert.deepEqual([again?.TokenValue, again?.ClientId], ["secret", first?.ClientId]);
  await settle();
  assert.deepEqual(resumed().input, [], "the server has not accepted the connection yet");
  await resumed().receiveAs("start_publication", 0, "");
  await resumed().receive(0, "a");
  await resumed().receive(1, "b");
  assert.deepEqual(output, ["open", "a", "lost", "resumed", "b"]);
  assert.deepEqual(resumed().input.slice(0, 2), [[1, Payload.output, "x"], [2, Payload.output, "y"]]);
  // Events of the first connection have no effect any more.
  socket.onclose();
  await settle();
  assert.deepEqual([sockets.length, closed], [3, []]);
});

test("the time until a message is sent again follows the round trips", () => {
  const outgoing = new Outgoing();
  outgoing.add(outgoing.take(), new Uint8Array([1]), 0);
  assert.equal(outgoing.due(199), null);
  assert.deepEqual(outgoing.due(200), new Uint8Array([1]));
  assert.equal(outgoing.due(399), null);
  outgoing.acknowledge(0, 400);
  // Round trip 137.5 ms, variation 75 ms: 437.5 ms.
  outgoing.add(outgoing.take(), new Uint8Array([2]), 1000);
  assert.equal(outgoing.due(1437), null);
  assert.deepEqual(outgoing.due(1438), new Uint8Array([2]));
  assert.equal(outgoing.waitingSince, 1000);
});

test("a message that is too far ahead is not taken", () => {
  const incoming = new Incoming<string>();
  assert.ok(!incoming.insert(10_001, "far"));
  assert.ok(incoming.insert(10_000, "near"));
  assert.equal(incoming.pop(), undefined);
});

test("a channel of this machine is reached by the page's own origin", () => {
  const page = { protocol: "https:", host: "shells.example" };
  assert.equal(reachable("ws://127.0.0.1:8787/v1/data-channel/a?b=c", page), "wss://shells.example/v1/data-channel/a?b=c");
  assert.equal(reachable("ws://[::1]:8787/x", { protocol: "http:", host: "localhost:8787" }), "ws://localhost:8787/x");
  const aws = "wss://ssmmessages.eu-central-1.amazonaws.com/v1/data-channel/a?role=publish_subscribe";
  assert.equal(reachable(aws, page), aws);
});

test("what a terminal answers by itself is told from what is typed", () => {
  for (const report of ["\x1b[?1;2c", "\x1b[>0;276;0c", "\x1b[24;80R", "\x1b[0n", "\x1b[?2026;2$y", "\x1b]11;rgb:0d0d/1111/1717\x1b\\", "\x1bP1$r0m\x1b\\"]) {
    assert.ok(isReport(report), JSON.stringify(report));
  }
  for (const typed of ["c", "ls\r", "\x1b[A", "\x1b", "\x1b[3~", "\x1b[200~text\x1b[201~", "\x03"]) {
    assert.ok(!isReport(typed), JSON.stringify(typed));
  }
});
