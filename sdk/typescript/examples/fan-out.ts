// 20 shells at once: each counts the primes of one range.

import { Client, Shell } from "ephemeral-shells";

const SHELLS = 20;
const RANGE = 500;

const PROGRAM = `
import sys
begin, end = map(int, sys.argv[1:])
print(sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(begin, 2), end)))
`;

const client = new Client();

function count(part: number): Promise<number> {
  // At the quota, the shell waits for a slot.
  return Shell.use({ client, ttlSeconds: 300, admission: "queue" }, async (shell) => {
    const range = [part * RANGE, (part + 1) * RANGE].map(String);
    const result = await shell.run(["python3", "-c", PROGRAM, ...range], { check: true });
    return Number(result.stdout);
  });
}

const counts = await Promise.all(Array.from({ length: SHELLS }, (_, part) => count(part)));
const sum = counts.reduce((all, each) => all + each, 0);
console.log(`${sum} primes below ${SHELLS * RANGE}, counted by ${counts.length} shells`);
