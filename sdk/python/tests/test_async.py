"""The asynchronous classes, which the synchronous ones are generated from."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from http.server import BaseHTTPRequestHandler

import pytest
from conftest import Scripted, Server, send

from ephemeral_shells import AsyncClient, AsyncShell


def test_shells_run_beside_each_other(local: Server) -> None:
    async def one(number: int) -> str:
        async with await AsyncShell.start(ttl=120) as shell:
            return (await shell.run(f"echo {number}", check=True)).stdout.strip()

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(5)))

    assert asyncio.run(all_of_them()) == ["0", "1", "2", "3", "4"]


def test_a_job_is_followed(local: Server) -> None:
    async def follow() -> None:
        async with await AsyncShell.start() as shell:
            job = await shell.submit("echo one; sleep 0.1; echo two")
            text = "".join([chunk.text async for chunk in job.stream()])
            assert text == "one\ntwo\n"
            assert (await job.wait()).exit_code == 0
            sessions = await AsyncShell.list(client=shell.client)
            assert shell.id in [each["sessionId"] for each in sessions]

    asyncio.run(follow())


def test_a_cancelled_task_stops_its_shell(server: Server) -> None:
    async def cancel() -> None:
        async with AsyncClient(server.url, server.token) as client:
            started: asyncio.Queue[AsyncShell] = asyncio.Queue()

            async def work() -> None:
                async with await AsyncShell.start(client=client) as shell:
                    started.put_nowait(shell)
                    await shell.run("sleep 600")

            task = asyncio.create_task(work())
            shell = await started.get()
            await shell.wait_ready()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert (await shell.info())["status"] in ("stopping", "stopped")

    asyncio.run(cancel())


def test_a_start_that_is_cancelled_leaves_no_shell() -> None:
    requests: list[tuple[str, str | None]] = []
    arrived, is_cancelled = threading.Event(), threading.Event()

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        requests.append((request.path, request.headers["idempotency-key"]))
        if request.path == "/v1/shell/start" and not arrived.is_set():
            arrived.set()
            is_cancelled.wait(10)
            request.close_connection = True
            return
        send(request, 200, {"jobId": "job_1", "sessionId": "sh_1"})

    async def cancel(url: str) -> None:
        async with AsyncClient(url, "token") as client:
            await client.quota()
            task = asyncio.create_task(AsyncShell.start(client=client))
            await asyncio.to_thread(arrived.wait, 10)
            task.cancel()
            is_cancelled.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Scripted(respond) as server:
        asyncio.run(cancel(server.url))
    assert [path for path, _ in requests[1:]] == ["/v1/shell/start"] * 2 + ["/v1/shell/stop"]
    assert requests[1] == requests[2]


def test_a_terminal_is_used(local: Server) -> None:
    async def use() -> None:
        async with (
            await AsyncShell.start() as shell,
            await shell.terminal(["cat"], cols=40) as terminal,
        ):
            await terminal.write("ping\n")
            assert b"ping" in await terminal.read_until(b"ping\r\nping\r\n", timeout=30)
            with pytest.raises(TimeoutError):
                await terminal.read(timeout=0.05)
            await terminal.write(b"\x04")
            assert b"".join([data async for data in terminal]) == b""
            assert (await terminal.wait()).exit_code == 0

    asyncio.run(use())
