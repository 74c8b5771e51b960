"""What `run` does with a function that gets the output."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest
from conftest import Scripted, send

from ephemeral_shells import AsyncClient, AsyncShell, Chunk

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
