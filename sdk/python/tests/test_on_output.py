"""What `run` does with a function that gets the output."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from conftest import Scripted, send

from ephemeral_shells import AsyncClient, AsyncJob, AsyncShell, Chunk, Client, Job, Shell

STREAM = {"text": "ab", "encoding": "utf-8", "bytes": 2, "keptBytes": 2, "nextOffset": 2}
JOB = {"jobId": "job_1", "status": "completed", "exitCode": 0, "stdout": STREAM, "stderr": STREAM}


def command(follow: Callable[[BaseHTTPRequestHandler], None]) -> Scripted:
    """A server with a command that writes "a" and "b", which `follow` sees after that."""

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        if request.command == "POST":
            send(request, 202, {"jobId": "job_1", "sessionId": "sh_1"})
        elif not request.path.endswith("/stream"):
            send(request, 200, JOB)
        else:
            request.close_connection = True
            request.send_response(200)
            request.send_header("content-type", "text/event-stream")
            request.end_headers()
            for offset, text in enumerate("ab"):
                part = {"stream": "stdout", "offset": offset, "text": text}
                part["nextOffset"] = offset + 1
                send_event(request, "output", part)
            follow(request)

    return Scripted(respond)


def send_event(request: BaseHTTPRequestHandler, name: str, data: object) -> None:
    request.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


def end(request: BaseHTTPRequestHandler) -> None:
    send_event(request, "end", {"status": "completed"})


def test_an_asynchronous_function_gets_one_part_after_the_other() -> None:
    seen: list[str] = []

    async def on_output(chunk: Chunk) -> None:
        seen.append(f"begin {chunk.text}")
        await asyncio.sleep(0)
        seen.append(f"end {chunk.text}")

    async def run(url: str) -> None:
        async with AsyncClient(url, "token") as client:
            assert (await AsyncShell(client, "sh_1").run("command", on_output=on_output)).ok

    with command(end) as server:
        asyncio.run(run(server.url))
    assert seen == ["begin a", "end a", "begin b", "end b"]


def test_the_error_of_an_asynchronous_function_is_raised() -> None:
    async def on_output(chunk: Chunk) -> None:
        raise ZeroDivisionError(chunk.text)

    async def run(url: str) -> None:
        async with AsyncClient(url, "token") as client:
            await AsyncShell(client, "sh_1").run("command", on_output=on_output)

    with command(end) as server, pytest.raises(ZeroDivisionError, match="a"):
        asyncio.run(run(server.url))


class Disconnection:
    """Follows the stream of a command that does not end, until the client leaves it."""

    def __init__(self) -> None:
        self._has_come = threading.Event()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        request.connection.settimeout(10)
        if request.connection.recv(1) == b"":
            self._has_come.set()

    def wait(self) -> bool:
        return self._has_come.wait(10)


def fail(chunk: Chunk) -> None:
    raise ZeroDivisionError(chunk.text)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Keeps all streams, as Python ends those that nobody has a reference to."""
    streams: list[object] = []

    def keep(kind: type[AsyncJob] | type[Job]) -> None:
        original: Callable[[Any], Any] = kind.stream

        def stream(job: Any) -> Any:
            streams.append(original(job))
            return streams[-1]

        monkeypatch.setattr(kind, "stream", stream)

    keep(Job)
    keep(AsyncJob)
    return streams


def test_the_stream_is_left_when_the_function_raises(kept: list[object]) -> None:
    disconnection = Disconnection()
    with command(disconnection) as server, Client(server.url, "token") as client:
        with pytest.raises(ZeroDivisionError):
            Shell(client, "sh_1").run("command", on_output=fail)
        assert disconnection.wait()
    assert len(kept) == 1


def test_the_stream_is_left_when_the_function_raises_asynchronously(kept: list[object]) -> None:
    disconnection = Disconnection()

    async def run(url: str) -> None:
        async with AsyncClient(url, "token") as client:
            with pytest.raises(ZeroDivisionError):
                await AsyncShell(client, "sh_1").run("command", on_output=fail)
            assert await asyncio.to_thread(disconnection.wait)

    with command(disconnection) as server:
        asyncio.run(run(server.url))
    assert len(kept) == 1
