"""A real server for the tests, and clients of MCP that are not ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("EPHEMERAL_PROGRAM") or ROOT / "target/debug/ephemeral").resolve()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what this host can't run, as the other tests of the repository do."""
    skipped: list[Any] = terminalreporter.stats.get("skipped", [])
    for reason in sorted({report.longrepr[2] for report in skipped}):
        terminalreporter.write_line(f"SKIPPED: MCP: {reason}")


class Server:
    """`ephemeral up` on a data directory of its own."""

    def __init__(self) -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix="ephemeral-mcp-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.start()
        self.token = (self.data_dir / "token").read_text().strip()

    def start(self) -> None:
        """Starts it, again after `restart`, and waits until it serves."""
        place = ["--data-dir", self.data_dir, "--listen", self.url.removeprefix("http://")]
        options = ["--log", "debug", "--quota", "20"]
        with (self.data_dir / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "up", *place, *options], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("try "):
                return
        raise RuntimeError("the server did not start")

    def restart(self) -> None:
        self.process.kill()
        self.process.wait()
        self.start()

    def add_user(self, name: str) -> str:
        """The token of a new user."""
        arguments = [PROGRAM, "token", "add", name, "--data-dir", self.data_dir]
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()

    def http(self, token: str | None = None) -> httpx2.Client:
        headers = {"authorization": f"Bearer {token or self.token}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=40)

    def sessions(self) -> list[dict[str, Any]]:
        """The sessions that have not ended."""
        with self.http() as http:
            sessions = http.get("/v1/sessions?limit=100").json()["data"]
        return [session for session in sessions if session["status"] not in ("stopped", "failed")]

    def status(self, session: str) -> str:
        with self.http() as http:
            return str(http.get(f"/v1/sessions/{session}").json()["status"])

    def await_end(self, session: str) -> None:
        """Waits until a session has ended."""
        until(lambda: self.status(session) == "stopped", f"{session} does not end")

    def await_none(self) -> None:
        """Waits until no session is left."""
        until(lambda: not self.sessions(), "sessions are left")

    def stdio(self) -> StdioServerParameters:
        """How a client starts `ephemeral mcp`."""
        return StdioServerParameters(
            command=str(PROGRAM), args=["mcp"], env={"EPHEMERAL_DATA_DIR": str(self.data_dir)}
        )

    def clear(self) -> None:
        with self.http() as http:
            for session in self.sessions():
                http.post("/v1/shell/stop", json={"sessionId": session["sessionId"]})
        self.await_none()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        shutil.rmtree(self.data_dir, ignore_errors=True)


def until(holds: Callable[[], bool], otherwise: str) -> None:
    """Waits until something holds, and fails if it does not within 20 s."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs a test that is asynchronous."""
    asyncio.run(asyncio.wait_for(test(), 60))  # type: ignore[arg-type]


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured result of a tool, which the client compared with the tool's schema."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return dict(result.structured_content)


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The text of a tool's error."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result
    return str(result.content[0].text)  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.clear()
