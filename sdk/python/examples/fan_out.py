"""20 shells at once: each counts the primes of one range."""

from __future__ import annotations

import asyncio

from ephemeral_shells import AsyncClient, AsyncShell

SHELLS = 20
RANGE = 500

PROGRAM = """
import sys
begin, end = map(int, sys.argv[1:])
print(sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(begin, 2), end)))
"""


async def count(client: AsyncClient, part: int) -> int:
    begin, end = part * RANGE, (part + 1) * RANGE
    # At the quota, the shell waits for a slot.
    async with await AsyncShell.start(client=client, ttl=300, queue=True) as shell:
        result = await shell.run(["python3", "-c", PROGRAM, str(begin), str(end)], check=True)
    return int(result.stdout)


async def main() -> None:
    async with AsyncClient() as client:
        counts = await asyncio.gather(*(count(client, part) for part in range(SHELLS)))
    print(f"{sum(counts)} primes below {SHELLS * RANGE}, counted by {len(counts)} shells")


if __name__ == "__main__":
    asyncio.run(main())
