"""A real server for the tests, and servers that behave as a test needs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from ephemeral_shells import Client

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(os.environ.get("EPHEMERAL_PROGRAM") or ROOT / "target/debug/ephemeral").resolve()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what this host can't run, as the other tests of the repository do."""
    skipped: list[Any] = terminalreporter.stats.get("skipped", [])
    for reason in sorted({report.longrepr[2] for report in skipped}):
        terminalreporter.write_line(f"SKIPPED: the SDK for Python: {reason}")


class Server:
    """`ephemeral up` on a data directory and a port of its own."""

    def __init__(self, *options: str) -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix="ephemeral-sdk-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts it, again on the same port after `kill`, and waits until it serves."""
        place = ["--data-dir", str(self.data_dir), "--listen", f"127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(
            [PROGRAM, "up", *place, "--log", "warn", "--webhook-allow-private", *self._options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("try "):
                return
        raise RuntimeError("the server did not start")

    @property
    def token(self) -> str:
        return (self.data_dir / "token").read_text().strip()

    def client(self, **options: Any) -> Client:
        return Client(self.url, self.token, **options)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def clear(self) -> None:
        """Stops all sessions and the server, and removes its data."""
        headers = {"authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=40) as http:
            for session in http.get("/v1/sessions?limit=100").json()["data"]:
                if session["status"] in ("stopped", "failed"):
                    continue
                stop = http.post("/v1/shell/stop", json={"sessionId": session["sessionId"]})
                http.get(f"/v1/jobs/{stop.json()['jobId']}?waitSeconds=25")
        self._end(signal.SIGTERM)
        shutil.rmtree(self.data_dir)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    running = new_server("--quota", "60")
    yield running
    running.clear()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may kill."""
    running = new_server()
    yield running
    running.clear()


def new_server(*options: str) -> Server:
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    if subprocess.run([PROGRAM, "doctor"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this host can't isolate shells; `ephemeral doctor` says why")
    server = Server(*options)
    server.start()
    return server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def local(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server is the one that this machine's programs find."""
    for name in ("EPHEMERAL_URL", "EPHEMERAL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EPHEMERAL_DATA_DIR", str(server.data_dir))
    return server


class Scripted:
    """A server whose responses a test decides: `respond` gets each request."""

    def __init__(self, respond: Callable[[BaseHTTPRequestHandler, bytes], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                respond(self, body)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def send(
    request: BaseHTTPRequestHandler, status: int, body: bytes | dict[str, Any], **headers: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("content-length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def problem(code: str, status: int, **fields: Any) -> dict[str, Any]:
    """The body of a refusal, as the API has it."""
    return {
        "type": "about:blank",
        "title": "Title",
        "status": status,
        "detail": "a reason",
        "code": code,
        "retryable": status in (429, 503),
        "requestId": "req_1",
        **fields,
    }


@pytest.fixture
def without_streams(server: Server) -> Iterator[Client]:
    """A client of a deployment that can't hold responses open, as on AWS: all but the refusal of
    streams is that of the real server."""

    def respond(request: BaseHTTPRequestHandler, body: bytes) -> None:
        if re.fullmatch(r"/v1/jobs/[^/]+/stream", request.path):
            detail = "this deployment has no streams; use GET /v1/jobs/{id}?waitSeconds=25"
            send(request, 406, problem("streaming_unavailable", 406, detail=detail))
            return
        names = ("authorization", "content-type", "idempotency-key")
        headers = {name: value for name in names if (value := request.headers.get(name))}
        response = httpx.request(
            request.command, server.url + request.path, content=body, headers=headers, timeout=40
        )
        send(request, response.status_code, response.content)

    with Scripted(respond) as proxy, Client(proxy.url, server.token) as client:
        yield client
