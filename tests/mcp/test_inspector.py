"""The inspector's command line, which has the official client for TypeScript."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest
from conftest import PROGRAM, ROOT, Server

INSPECTOR = ROOT / "target/mcp/inspector/node_modules/.bin/mcp-inspector-cli"


@pytest.fixture(params=["stdio", "http"])
def target(request: pytest.FixtureRequest, server: Server) -> list[str]:
    if not INSPECTOR.exists() or not shutil.which("node"):
        pytest.skip("the inspector's command line is not installed")
    if request.param == "stdio":
        return ["-e", f"EPHEMERAL_DATA_DIR={server.data_dir}", str(PROGRAM), "mcp"]
    header = f"Authorization: Bearer {server.token}"
    return [f"{server.url}/mcp", "--transport", "http", "--header", header]


def inspect(target: list[str], *arguments: str) -> dict[str, Any]:
    command = [str(INSPECTOR), "--cli", *target, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)
    assert ran.returncode == 0, (ran.stdout, ran.stderr)
    return dict(json.loads(ran.stdout))


def test_tools_and_resources_are_listed(target: list[str]) -> None:
    tools = inspect(target, "--method", "tools/list")["tools"]
    assert [tool["name"] for tool in tools][:4] == ["run", "poll", "wait", "cancel"]
    templates = inspect(target, "--method", "resources/templates/list")["resourceTemplates"]
    assert len(templates) == 3


def test_a_command_runs_and_its_result_has_the_form_of_its_schema(target: list[str], server: Server) -> None:
    call = ["--method", "tools/call", "--tool-name", "run"]
    result = inspect(target, *call, "--tool-arg", "command=echo $((6 * 7))")
    assert result["structuredContent"]["stdout"]["text"] == "42\n"
    session = result["structuredContent"]["session"]
    if "http" in target:
        # The inspector leaves its session, and so its shell, to expire.
        with server.http() as http:
            http.post("/v1/shell/stop", json={"sessionId": session})
    server.await_end(session)
