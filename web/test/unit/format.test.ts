import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../src/format.js";

function holds<T>(format: (value: T) => string, table: [T, string][]): void {
  for (const [value, expected] of table) assert.equal(format(value), expected, String(value));
}

test("a duration has the precision that matters", () => {
  holds(format.duration, [
    [-5, "0 ms"],
    [0, "0 ms"],
    [105.4, "105 ms"],
    [999.6, "1.00 s"],
    [2310, "2.31 s"],
    [9999, "10.00 s"],
    [42_060, "42.0 s"],
    [59_999, "59.9 s"],
    [60_000, "1 m 00 s"],
    [245_000, "4 m 05 s"],
    [3_599_999, "59 m 59 s"],
    [4_320_000, "1 h 12 m"],
  ]);
});

test("a countdown shows zero only when the time is over", () => {
  holds(format.countdown, [
    [-1, "0 s"],
    [0, "0 s"],
    [1, "1 s"],
    [59_000, "59 s"],
    [59_001, "1:00"],
    [60_000, "1:00"],
    [3_552_000, "59:12"],
    [3_723_000, "1:02:03"],
  ]);
});

test("bytes are scaled by 1024 and never shown as 1024 of a unit", () => {
  holds(format.bytes, [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1_048_575, "1.0 MiB"],
    [3_041_281, "2.9 MiB"],
    [1_073_741_824, "1.0 GiB"],
  ]);
});

test("sizes, lifetimes and ages are written as people say them", () => {
  holds(format.cpu, [
    [256, "¼ CPU"],
    [1024, "1 CPU"],
    [4096, "4 CPUs"],
  ]);
  holds(format.mebibytes, [
    [512, "512 MiB"],
    [1024, "1 GiB"],
    [30_720, "30 GiB"],
  ]);
  holds(format.seconds, [
    [90, "90 s"],
    [900, "15 min"],
    [5400, "90 min"],
    [28_800, "8 h"],
  ]);
  holds(format.ago, [
    [0, "just now"],
    [34_000, "34 s ago"],
    [119_000, "1 min ago"],
    [86_400_000, "1 day ago"],
    [200_000_000, "2 days ago"],
  ]);
});

test("signals have their names", () => {
  holds(format.signalName, [
    [2, "SIGINT"],
    [9, "SIGKILL"],
    [15, "SIGTERM"],
    [31, "signal 31"],
  ]);
});
