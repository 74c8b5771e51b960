// A judge: 50 submissions, each in a shell of its own, with limits of time, memory and output.

import { Client, Shell, type Result } from "ephemeral-shells";

const TASK_INPUT = "3 4\n";
const EXPECTED = "7\n";
const CPU_SECONDS = 1;
// A shell with a quarter of a core needs four times as long, more on a busy machine.
const WALL_SECONDS = 60;
const OUTPUT_BYTES = 10_000;
const AT_ONCE = 8;
const SIGXCPU = 24;

const repeat = (source: string, count: number) => Array.from({ length: count }, () => source);
const SUBMISSIONS = [
  ...repeat("a, b = map(int, input().split()); print(a + b)", 34),
  ...repeat("a, b = map(int, input().split()); print(a - b)", 8),
  "while True: pass",
  "print(len(b'x' * (2 << 30)))",
  ...repeat("print('7' * 1_000_000)", 3),
  ...repeat("print(undefined)", 3),
];

function verdict(result: Result): string {
  if (result.timedOut || result.signal === SIGXCPU) return "time limit exceeded";
  if ((result.usage?.oomKills ?? 0) > 0) return "memory limit exceeded";
  if (result.missingStdout > 0) return "output limit exceeded";
  if (!result.ok) return "runtime error";
  return result.stdout === EXPECTED ? "accepted" : "wrong answer";
}

const client = new Client();

function judge(source: string): Promise<string> {
  // At the quota, the shell waits for a slot.
  const options = { client, ttlSeconds: 60, size: { cpu: 256, memoryMiB: 512 }, admission: "queue" } as const;
  return Shell.use(options, async (shell) => {
    // What a submission does can't reach the network, other submissions, or this program.
    const command = ["sh", "-c", `ulimit -S -t ${CPU_SECONDS}; exec python3 -c "$0"`, source];
    const limits = { timeoutSeconds: WALL_SECONDS, maxOutputBytes: OUTPUT_BYTES };
    return verdict(await shell.run(command, { stdin: TASK_INPUT, ...limits }));
  });
}

const waiting = [...SUBMISSIONS];
const counts = new Map<string, number>();
const worker = async () => {
  for (let source = waiting.pop(); source !== undefined; source = waiting.pop()) {
    const name = await judge(source);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
};
await Promise.all(Array.from({ length: AT_ONCE }, worker));
for (const [name, count] of [...counts].sort()) console.log(`${String(count).padStart(3)} ${name}`);
