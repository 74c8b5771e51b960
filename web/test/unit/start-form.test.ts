import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { emptyForm, FormError, MEMORY, parseDuration, parsePairs, startRequest } from "../../src/session/start-form.js";

interface SizeRule {
  // The rule of the default size is conditional: it holds for absent values too.
  properties: { cpu: Rule<{ const: number }>; memoryMiB: Rule<{ enum: number[] }> };
}

type Rule<T> = T | { if: unknown; then: T };

function ruleOf<T extends object>(rule: Rule<T>): T {
  return "then" in rule ? rule.then : rule;
}

test("the dialog offers the sizes of the API's document, and no others", () => {
  const file = new URL("../../../handlers/src/http/openapi.json", import.meta.url);
  const document = JSON.parse(readFileSync(file, "utf8"));
  const size = document.components.schemas.Start.properties.size.anyOf[0] as { oneOf: SizeRule[] };
  const pairs = size.oneOf.map(({ properties }) => [
    String(ruleOf(properties.cpu).const),
    ruleOf(properties.memoryMiB).enum,
  ]);
  assert.deepEqual(Object.entries(MEMORY), pairs);
});

test("an untouched form asks for the smallest shell for an hour", () => {
  assert.deepEqual(startRequest(emptyForm), {
    image: "default",
    size: { cpu: 256, memoryMiB: 512 },
    ttlSeconds: 3600,
  });
});

test("all fields reach the request", () => {
  const request = startRequest({
    image: " python ",
    cpu: 1024,
    memoryMiB: 4096,
    disk: " 512 ",
    ttl: "90s",
    idle: "15m",
    network: "egress",
    isOneShot: true,
    command: "make test\n",
    metadata: "course=algebra\n\nnote=a=b",
    env: "A=1",
    webhook: " https://example.com/hook ",
    waits: true,
  });
  assert.deepEqual(request, {
    image: "python",
    size: { cpu: 1024, memoryMiB: 4096, diskMiB: 512 },
    ttlSeconds: 90,
    idleTimeoutSeconds: 900,
    network: "egress",
    command: "make test\n",
    metadata: { course: "algebra", note: "a=b" },
    env: { A: "1" },
    webhook: { url: "https://example.com/hook" },
    admission: "queue",
  });
});

test("a command is sent for a one shot only", () => {
  assert.equal("command" in startRequest({ ...emptyForm, command: "id" }), false);
  assert.throws(() => startRequest({ ...emptyForm, isOneShot: true, command: "  " }), FormError);
});

test("a disk size is a number", () => {
  assert.throws(() => startRequest({ ...emptyForm, disk: "2 GiB" }), /Disk: write a number of MiB/);
});

test("durations are read in hours, minutes and seconds", () => {
  const table: [string, number][] = [
    ["90s", 90],
    ["15m", 900],
    ["15 min", 900],
    ["1h 30m", 5400],
    ["1H", 3600],
    ["45", 2700],
    ["8h0m1s", 28_801],
  ];
  for (const [text, seconds] of table) assert.equal(parseDuration("TTL", text), seconds, text);
  for (const text of ["", "h", "1d", "-5m", "1.5h", "5m1h", "abc"]) {
    assert.throws(() => parseDuration("TTL", text), /TTL: write a duration/, text);
  }
});

test("a pair without a key or an equals sign is named", () => {
  assert.throws(() => parsePairs("Metadata", "a=1\nbroken"), /“broken”/);
  assert.throws(() => parsePairs("Metadata", "=1"), FormError);
});
