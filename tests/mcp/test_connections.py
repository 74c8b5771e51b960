"""How connections begin and end, and what strangers and other users can do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import httpx2
import pytest
from conftest import PROGRAM, Server, until

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
ACCEPT = {"accept": "application/json, text/event-stream"}


class Stdio:
    """`ephemeral mcp` as a process, by lines of JSON."""

    def __init__(self, server: Server, *options: str) -> None:
        environment = os.environ | {"EPHEMERAL_DATA_DIR": str(server.data_dir)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [PROGRAM, "mcp", *options],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment,
            # The tests may run where SIGHUP is ignored, which a process inherits.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        self._id = 0

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, method: str, params: dict[str, Any]) -> None:
        self._id += 1
        message = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        self.write(json.dumps(message).encode())

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.send(method, params)
        return self.read()

    def initialize(self) -> None:
        assert self.request("initialize", INITIALIZE)["result"]["serverInfo"]["name"] == "ephemeral"
        self.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def run(self, command: str, **arguments: Any) -> dict[str, Any]:
        params = {"name": "run", "arguments": {"command": command, **arguments}}
        return dict(self.request("tools/call", params)["result"]["structuredContent"])

    def end(self) -> tuple[int, str]:
        """Its exit code and messages, after the end of input or a signal."""
        _, messages = self.process.communicate(timeout=20)
        return self.process.returncode, messages.decode()


@pytest.mark.parametrize("end", ["end of input", "SIGTERM", "SIGHUP", "SIGINT"])
def test_the_shell_ends_with_its_client_also_during_a_command(server: Server, end: str) -> None:
    client = Stdio(server)
    client.initialize()
    session = client.run("sleep 1000", yieldSeconds=0)["session"]
    expected = 0
    if end != "end of input":
        number = signal.Signals[end]
        client.process.send_signal(number)
        # Before the end of input, which `end` would bring.
        client.process.wait(20)
        expected = 128 + number
    assert client.end() == (expected, "")
    server.await_end(session)


def test_the_shell_ends_when_the_client_is_killed_during_a_call(server: Server) -> None:
    # A process that starts `ephemeral mcp`, as clients do, and is killed.
    script = f"""
import subprocess, sys, time
server = subprocess.Popen([{str(PROGRAM)!r}, "mcp"], stdin=subprocess.PIPE, stdout=sys.stdout)
for line in sys.stdin:
    server.stdin.write(line.encode()); server.stdin.flush()
"""
    environment = os.environ | {"EPHEMERAL_DATA_DIR": str(server.data_dir)}
    pipe = subprocess.PIPE
    client = subprocess.Popen(["python3", "-c", script], stdin=pipe, stdout=pipe, env=environment)
    assert client.stdin is not None
    wanted = {"name": "run", "arguments": {"command": "sleep 1000", "yieldSeconds": 300}}
    for number, (method, params) in enumerate([("initialize", INITIALIZE), ("tools/call", wanted)]):
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        client.stdin.write(json.dumps(message).encode() + b"\n")
    client.stdin.flush()
    until(lambda: bool(server.sessions()), "no shell was started")
    client.kill()
    client.wait()
    server.await_none()


def test_messages_that_are_no_json_and_requests_that_do_not_exist_change_nothing(server: Server) -> None:
    client = Stdio(server)
    client.initialize()
    for garbage in [b"", b"garbage", b"\x00\xff\xfe", b"{", b"[]", b'{"jsonrpc":"2.0"}', b"9" * 100_000]:
        client.write(garbage)
    client.write(b'{"jsonrpc":"2.0","id":77,"method":"no/such/method"}')
    answers = []
    while not answers or answers[-1].get("id") != 77:
        answers.append(client.read())
    assert all("error" in answer for answer in answers), answers
    # A line beyond the limit is skipped, and the next one is read.
    client.write(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (17 << 20) + b'"}')
    assert client.run("echo here")["stdout"]["text"] == "here\n"
    assert client.process.stdin is not None
    client.process.stdin.close()
    client.process.stdin = None
    assert client.end() == (0, "")
    server.await_none()


def test_a_client_that_reads_nothing_can_be_ended(server: Server) -> None:
    client = Stdio(server)
    client.initialize()
    session = client.run("true")["session"]
    for _ in range(30):
        client.send("tools/list", {})
    client.process.send_signal(signal.SIGTERM)
    assert client.process.wait(20) == 128 + signal.SIGTERM
    server.await_end(session)


def test_input_that_is_no_mcp_fails_without_being_shown(server: Server) -> None:
    client = Stdio(server)
    client.write(b'{"jsonrpc":"2.0","method":"notifications/secret"}')
    code, messages = client.end()
    assert code == 1 and "not those of MCP" in messages and "secret" not in messages, (code, messages)


def test_without_a_server_or_a_valid_token_the_reason_is_on_standard_error(server: Server) -> None:
    def started(**environment: str) -> subprocess.CompletedProcess[str]:
        clean = {"PATH": os.environ["PATH"], "EPHEMERAL_DATA_DIR": "/nonexistent", **environment}
        return subprocess.run(
            [PROGRAM, "mcp"], env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    none = started()
    assert (none.returncode, none.stdout) == (5, "") and "no server is running" in none.stderr
    refused = started(EPHEMERAL_URL=server.url, EPHEMERAL_TOKEN="not-a-token")
    assert (refused.returncode, refused.stdout) == (4, "") and "EPHEMERAL_TOKEN" in refused.stderr
    assert "not-a-token" not in refused.stderr


class Http:
    """A session over HTTP, by plain requests."""

    def __init__(self, server: Server, token: str | None = None) -> None:
        self.http = server.http(token)
        self.http.headers.update(ACCEPT)
        response = self.post("initialize", INITIALIZE)
        self.id = response.headers["mcp-session-id"]
        self.http.headers.update({"mcp-session-id": self.id, "mcp-protocol-version": "2025-11-25"})
        self.http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})

    def post(self, method: str, params: dict[str, Any]) -> httpx2.Response:
        return self.http.post(
            "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        )

    def run(self, command: str, **arguments: Any) -> dict[str, Any]:
        response = self.post("tools/call", {"name": "run", "arguments": {"command": command, **arguments}})
        data = [line[5:] for line in response.text.splitlines() if line.startswith("data:") and line[5:].strip()]
        return dict(json.loads(data[-1])["result"]["structuredContent"])


def test_a_session_belongs_to_its_user(server: Server) -> None:
    mine = Http(server)
    session = mine.run("echo mine > file")["session"]
    other = Http(server, server.add_user("other"))
    other.http.headers["mcp-session-id"] = mine.id
    call = {"name": "run", "arguments": {"command": "cat file"}}
    assert other.post("tools/call", call).status_code == 404
    assert other.http.get("/mcp").status_code == 404
    assert other.http.delete("/mcp").status_code == 404
    assert mine.run("cat file")["stdout"]["text"] == "mine\n", "the session was ended by another user"
    assert mine.http.delete("/mcp").status_code == 204
    assert mine.post("tools/call", call).status_code == 404
    server.await_end(session)


def test_requests_need_a_token_this_host_and_no_page_of_another_origin(server: Server) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
    with server.http() as http:
        for headers, status in [
            ({"authorization": ""}, 401),
            ({"authorization": "Bearer wrong"}, 401),
            ({"host": "attacker.example"}, 421),
            ({"origin": "http://attacker.example"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
            ({"accept": "text/html"}, 406),
            ({"content-type": "text/plain"}, 415),
        ]:
            response = http.post("/mcp", json=body, headers=ACCEPT | headers)
            assert response.status_code == status, (headers, response.status_code)
            if status == 401:
                assert response.headers["www-authenticate"] == "Bearer"
        assert http.get("/mcp", headers={"accept": "text/event-stream"}).status_code == 400
        huge = b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (5 << 20) + b'"}'
        headers = ACCEPT | {"content-type": "application/json"}
        assert http.post("/mcp", content=huge, headers=headers).status_code == 413
        for garbage in [b"", b"{", b"\xff\x00", b"[]", b"7"]:
            assert http.post("/mcp", content=garbage, headers=headers).status_code == 400


def test_one_user_can_not_open_sessions_without_end(server: Server) -> None:
    token = server.add_user("greedy")
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
    with server.http(token) as http:
        opened = [http.post("/mcp", json=body, headers=ACCEPT) for _ in range(33)]
        assert [response.status_code for response in opened] == [200] * 32 + [429]
        for response in opened[:32]:
            http.delete("/mcp", headers={"mcp-session-id": response.headers["mcp-session-id"]})
        assert http.post("/mcp", json=body, headers=ACCEPT).status_code == 200


def test_the_command_of_a_call_is_not_in_the_log(server: Server) -> None:
    client = Http(server)
    client.run("echo not-to-be-logged")
    client.http.delete("/mcp")
    log = (server.data_dir / "log").read_text()
    assert "not-to-be-logged" not in log and client.id not in log


def test_a_cancelled_call_leaves_its_command_running(server: Server) -> None:
    client = Stdio(server)
    client.initialize()
    client.run("true")
    client.send("tools/call", {"name": "run", "arguments": {"command": "sleep 1000", "yieldSeconds": 60}})
    cancelled = {"requestId": 3, "reason": "a timeout of the client"}
    session = server.sessions()[0]["sessionId"]

    def jobs() -> list[dict[str, Any]]:
        with server.http() as http:
            return list(http.get(f"/v1/sessions/{session}/jobs").json()["data"])

    until(lambda: jobs()[-1]["status"] == "running", "the command does not run")
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled}
    client.write(json.dumps(message).encode())
    listed = client.request("tools/call", {"name": "list", "arguments": {"session": session}})
    assert listed["id"] == 4, "the cancelled call was answered"
    statuses = [job["status"] for job in listed["result"]["structuredContent"]["jobs"]]
    assert statuses == ["completed", "completed", "running"]
    client.process.send_signal(signal.SIGTERM)
    client.end()
    server.await_end(session)


def test_a_restart_of_the_server_runs_no_command_twice() -> None:
    own = Server()
    try:
        client = Stdio(own)
        client.initialize()
        client.run("true")
        command = "echo once >> runs; sleep 3; cat runs"
        client.send("tools/call", {"name": "run", "arguments": {"command": command, "yieldSeconds": 60}})
        until(lambda: len(own.sessions()) == 1, "no shell")
        own.restart()
        result = client.read()["result"]
        assert result["structuredContent"]["stdout"]["text"] == "once\n", result
        client.process.send_signal(signal.SIGTERM)
        client.end()
    finally:
        own.clear()
