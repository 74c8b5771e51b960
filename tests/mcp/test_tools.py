"""The tools, by the official client over stdio and over HTTP."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator

import httpx2
import pytest
from conftest import Server, call, refused, run
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


@contextlib.asynccontextmanager
async def connected(server: Server, transport: str) -> AsyncIterator[Client]:
    if transport == "stdio":
        async with Client(server.stdio()) as client:
            yield client
        return
    headers = {"authorization": f"Bearer {server.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client:
            yield client


@pytest.fixture(params=["stdio", "http"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_tool_is_listed_with_its_schemas_and_hints(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            names = "run poll wait cancel write_file read_file list_files start_shell stop_shell list"
            assert list(tools) == names.split()
            for tool in tools.values():
                assert tool.description and tool.input_schema and tool.output_schema
                assert tool.annotations is not None
            assert tools["read_file"].annotations.read_only_hint is True  # type: ignore[union-attr]
            assert tools["run"].annotations.destructive_hint is True  # type: ignore[union-attr]
        assert server.sessions() == [], "listing needs no shell"

    run(test)


def test_commands_of_a_name_share_a_shell_process(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            first = await call(client, "run", command="cd /tmp; x=1", shellName="main")
            assert first["shell"] == {"name": "main", "isNew": True, "hasEnded": False}
            second = await call(client, "run", command="pwd; echo $x", shellName="main")
            assert second["stdout"]["text"] == "/tmp\n1\n"
            last = await call(client, "run", command="exit 3", shellName="main")
            assert last["shell"]["hasEnded"] and "without what was set" in last["hint"]
            third = await call(client, "run", command="echo ${x-none}", shellName="main")
            assert (third["stdout"]["text"], third["shell"]["isNew"]) == ("none\n", True)

    run(test)


def test_commands_share_a_shell_that_ends_with_the_client(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            first = await call(client, "run", command="echo out; echo err >&2; echo 1 > kept; exit 3")
            assert (first["status"], first["exitCode"]) == ("completed", 3)
            assert (first["stdout"]["text"], first["stderr"]["text"]) == ("out\n", "err\n")
            second = await call(client, "run", command="cat kept -", stdin="2", env={"A": "b"}, cwd="/tmp")
            assert second["exitCode"] == 1, "the file is in the home directory"
            third = await call(client, "run", command="cat kept -; echo $A", stdin="2", env={"A": "b"})
            assert third["stdout"]["text"] == "1\n2b\n"
            assert third["session"] == first["session"]
            shown = await client.call_tool("run", {"command": "echo shown"})
            text = shown.content[0].text  # type: ignore[union-attr]
            assert "completed, exit code 0\n--- stdout\nshown" in text
            shells = (await call(client, "list"))["shells"]
            assert [shell["session"] for shell in shells if shell["own"]] == [first["session"]]
        server.await_end(first["session"])

    run(test)


def test_a_long_command_gives_the_prompt_back(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            command = "echo begun; while [ ! -e go ]; do sleep 0.1; done; echo done"
            begun = await call(client, "run", command=command, yieldSeconds=1)
            assert (begun["status"], begun["stdout"]["text"]) == ("running", "begun\n")
            assert "`wait`" in begun["hint"]
            job, cursor = begun["job"], begun["cursor"]
            assert (await call(client, "poll", job=job, cursor=cursor))["stdout"]["text"] == ""
            await call(client, "write_file", path="go", text="")
            ended = await call(client, "wait", job=job, cursor=cursor)
            assert (ended["status"], ended["stdout"]["text"]) == ("completed", "done\n")
            endless = await call(client, "run", command="sleep 1000", yieldSeconds=0)
            cancelled = await call(client, "cancel", job=endless["job"])
            assert cancelled["status"] == "cancelled"

    run(test)


def test_progress_is_told_to_a_client_that_wants_it(server: Server, transport: str) -> None:
    async def test() -> None:
        told = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            told.append(message)

        async with connected(server, transport) as client:
            arguments = {"command": "echo begun; sleep 2.5"}
            await client.call_tool("run", arguments, progress_callback=progress)
        assert told and all("6 bytes of output" in message for message in told[1:]), told

    run(test)


def test_long_output_is_shortened_and_can_be_paged(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            command = "yes 0123456789 | head -c 10000000; printf '\\033[31mred\\033[0m\\n'"
            result = await call(client, "run", command=command, yieldSeconds=60)
            stdout = result["stdout"]
            assert stdout["bytes"] == 10_000_013 and stdout["omittedBytes"] > 9_900_000
            assert len(stdout["text"]) < 20_000
            assert "bytes left out" in stdout["text"] and stdout["text"].endswith("red\n")
            assert "cursor" in result["hint"]
            page = await call(client, "poll", job=result["job"], cursor="8192.0")
            assert page["stdout"]["text"].startswith("89\n0123456789\n"), page["stdout"]["text"][:20]
            assert page["cursor"] == "24576.0"
            binary = await call(client, "run", command="head -c 100000 /dev/urandom")
            assert "\x00" not in binary["stdout"]["text"] and binary["stdout"]["bytes"] == 100_000

    run(test)


def test_files_are_written_read_and_listed(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            text = "gr\u00fcn\n" * 10_000
            written = await call(client, "write_file", path="a b/\u00fc.txt", text=text, mode="640")
            assert (written["size"], written["mode"]) == (60_000, "0640")
            read, offset = "", 0
            while offset is not None:
                part = await call(client, "read_file", path="a b/\u00fc.txt", offset=offset, limit=9999)
                read, offset = read + part["text"], part.get("nextOffset")
            assert read == text
            data = bytes(range(256))
            encoded = base64.b64encode(data).decode()
            await call(client, "write_file", path="data", base64=encoded)
            assert (await call(client, "read_file", path="data"))["base64"] == encoded
            await call(client, "write_file", path="empty", text="")
            assert (await call(client, "read_file", path="empty"))["text"] == ""
            entries = (await call(client, "list_files", depth=2))["entries"]
            paths = {entry["path"]: entry["type"] for entry in entries}
            assert paths["a b"] == "directory" and paths["a b/\u00fc.txt"] == "file"
            assert "range_not_satisfiable" in await refused(client, "read_file", path="data", offset=999)

    run(test)


def test_a_shell_that_ended_is_replaced_and_the_model_is_told(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            first = await call(client, "run", command="touch mine")
            with server.http() as http:
                stop = http.post("/v1/shell/stop", json={"sessionId": first["session"]}).json()
                http.get(f"/v1/jobs/{stop['jobId']}?waitSeconds=25")
            second = await call(client, "run", command="ls")
            assert second["session"] != first["session"] and second["stdout"]["text"] == ""
            assert first["session"] in second["hint"]

    run(test)


def test_further_shells_outlive_the_client_until_they_are_stopped(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            started = await call(client, "start_shell", ttlSeconds=600, env={"NAME": "other"})
            assert started["status"] == "ready" and started["expiresAt"]
            other = started["session"]
            ran = await call(client, "run", command="echo $NAME", session=other)
            assert ran["stdout"]["text"] == "other\n"
            jobs = (await call(client, "list", session=other))["jobs"]
            assert [job["type"] for job in jobs] == ["start", "execute"]
        assert server.status(other) == "ready"
        async with connected(server, transport) as client:
            assert (await call(client, "stop_shell", session=other))["status"] == "stopped"
            assert "not_found" in await refused(client, "stop_shell")

    run(test)


def test_errors_say_their_code_and_what_to_do(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            for tool, arguments, code in [
                ("run", {}, "invalid_arguments: missing field `command`"),
                ("run", {"command": 7}, "invalid_arguments: invalid type"),
                ("run", {"command": "true", "yieldSeconds": 301}, "invalid_arguments: 301 s"),
                ("run", {"command": "true", "cwd": "relative"}, "invalid_request"),
                ("run", {"command": "true", "session": "sh_01KB8JR8ZC3M5D7W2Q9T4V6X0A"}, "not_found"),
                ("run", {"command": "true", "session": "../quota"}, "not_found"),
                ("poll", {"job": "job_01KB8JR8ZC3M5D7W2Q9T4V6X0A"}, "not_found"),
                ("wait", {"job": "job_01KB8JR8ZC3M5D7W2Q9T4V6X0A", "cursor": "x"}, "invalid_arguments"),
                ("write_file", {"path": "x"}, "invalid_arguments: give either"),
                ("write_file", {"path": "/etc/passwd", "text": ""}, "permission_denied"),
                ("read_file", {"path": "nothing"}, "path_not_found"),
            ]:
                text = await refused(client, tool, **arguments)
                assert text.startswith(code) and "\nWhat to do: " in text, (tool, arguments, text)
            failed = await call(client, "run", command="no-such-command")
            assert failed["exitCode"] == 127
            with pytest.raises(Exception, match="unknown tool"):
                await client.call_tool("no_such_tool", {})

    run(test)


def test_the_output_of_a_job_and_a_timeline_are_resources(server: Server, transport: str) -> None:
    async def test() -> None:
        async with connected(server, transport) as client:
            templates = (await client.list_resource_templates()).resource_templates
            assert len(templates) == 3
            ran = await call(client, "run", command="echo one; echo two >&2")
            for stream, text in [("stdout", "one\n"), ("stderr", "two\n")]:
                contents = await client.read_resource(f"ephemeral://jobs/{ran['job']}/{stream}")
                assert contents.contents[0].text == text  # type: ignore[union-attr]
            uri = f"ephemeral://sessions/{ran['session']}/timeline"
            timeline = json.loads((await client.read_resource(uri)).contents[0].text)  # type: ignore[union-attr]
            assert [entry["type"] for entry in timeline][0] == "accepted"
            with pytest.raises(Exception, match="no such resource"):
                await client.read_resource("ephemeral://jobs/job_01KB8JR8ZC3M5D7W2Q9T4V6X0A/stdout")

    run(test)
