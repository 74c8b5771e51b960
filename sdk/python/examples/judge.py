"""A judge: 50 submissions, each in a shell of its own, with limits of time, memory and output."""

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ephemeral_shells import Client, Result, Shell

TASK_INPUT = "3 4\n"
EXPECTED = "7\n"
CPU_SECONDS = 1
# A shell with a quarter of a core needs four times as long, more on a busy machine.
WALL_SECONDS = 60
OUTPUT_BYTES = 10_000

CORRECT = "a, b = map(int, input().split()); print(a + b)"
SUBMISSIONS = [
    *[CORRECT] * 34,
    *["a, b = map(int, input().split()); print(a - b)"] * 8,
    "while True: pass",
    "print(len(b'x' * (2 << 30)))",
    *["print('7' * 1_000_000)"] * 3,
    *["print(undefined)"] * 3,
]


def verdict(result: Result) -> str:
    if result.timed_out or result.signal == signal.SIGXCPU:
        return "time limit exceeded"
    if result.usage is not None and result.usage.get("oomKills", 0) > 0:
        return "memory limit exceeded"
    if result.missing_stdout > 0:
        return "output limit exceeded"
    if not result.ok:
        return "runtime error"
    return "accepted" if result.stdout == EXPECTED else "wrong answer"


def judge(client: Client, source: str) -> str:
    # At the quota, the shell waits for a slot.
    with Shell.start(client=client, ttl=60, cpu=256, memory=512, queue=True) as shell:
        # What a submission does can't reach the network, other submissions, or this program.
        limited = f'ulimit -S -t {CPU_SECONDS}; exec python3 -c "$0"'
        result = shell.run(
            ["sh", "-c", limited, source],
            stdin=TASK_INPUT,
            timeout=WALL_SECONDS,
            max_output=OUTPUT_BYTES,
        )
    return verdict(result)


def main() -> None:
    with Client() as client, ThreadPoolExecutor(8) as pool:
        verdicts = Counter(pool.map(partial(judge, client), SUBMISSIONS))
    for name, count in sorted(verdicts.items()):
        print(f"{count:3} {name}")


if __name__ == "__main__":
    main()
