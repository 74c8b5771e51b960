"""The options of shells, commands and terminals. Times are in seconds."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from typing_extensions import TypedDict

from .models import Network, Webhook

Command = str | Sequence[str]
"""A line for a shell, or a program with its arguments."""


class StartOptions(TypedDict, total=False):
    """The options of a new shell."""

    ttl: int
    """When the shell ends at the latest; the server has a default."""
    idle_timeout: int
    """When it ends after its last command."""
    image: str
    """One of the images of the server."""
    cpu: int
    """In units of 1/1024 core, together with `memory`; only the pairs of AWS Fargate exist."""
    memory: int
    """MiB."""
    disk: int
    """MiB for /tmp, the home directory and what is written to the image."""
    env: Mapping[str, str]
    network: Network
    metadata: Mapping[str, str]
    """Your own notes; shown with the shell and in its webhooks."""
    webhook: Webhook
    spot: bool
    """Cheaper capacity that can be taken back."""
    files: Mapping[str, str | bytes]
    """The content of small files by path, 64 KiB in all, written before the first command."""
    queue: bool
    """At the quota, wait for a slot instead of being refused."""


class CommandOptions(TypedDict, total=False):
    """The options of a command."""

    timeout: int
    cwd: str
    env: Mapping[str, str]
    user: str
    stdin: str
    """At most 128 KiB; then end of file."""
    max_output: int
    """How many bytes of stdout, and of stderr, the server keeps."""
    keep: Literal["both", "head", "tail"]
    """Which part of longer output."""
    merge: bool
    """Have what goes to stderr in `stdout`, in the order of the writes, as by `2>&1`."""
    marks: bool
    """With `merge`: whether `pieces` and `written_to` tell to which stream a part was written.
    True by default; with False the command has one pipe for both streams."""
    shell: Literal["bash", "sh"]
    shell_name: str
    """Run in the shell process of this name, which keeps directory, variables and functions."""
    parallel: bool
    """Don't wait for earlier commands of the shell."""
    background: bool
    """Keep what the command leaves running."""


class TerminalOptions(TypedDict, total=False):
    """The options of a terminal."""

    cols: int
    rows: int
    cwd: str
    env: Mapping[str, str]
    user: str
    timeout: int
    idle_timeout: int
    """End the program after so long without a client."""


_NAMES = {
    "ttl": "ttlSeconds",
    "idle_timeout": "idleTimeoutSeconds",
    "timeout": "timeoutSeconds",
    "max_output": "maxOutputBytes",
    "shell_name": "shellName",
}
_SIZES = {"cpu": "cpu", "memory": "memoryMiB", "disk": "diskMiB"}


def start_body(options: StartOptions) -> dict[str, Any]:
    """The body of a request for a shell."""
    body = _body(options, StartOptions)
    size = {name: body.pop(key) for key, name in _SIZES.items() if key in body}
    if size:
        body["size"] = size
    if "files" in body:
        body["files"] = [_file(path, content) for path, content in body["files"].items()]
    if body.pop("queue", False):
        body["admission"] = "queue"
    return body


def _file(path: str, content: str | bytes) -> dict[str, str]:
    if isinstance(content, str):
        return {"path": path, "content": content}
    return {"path": path, "base64": base64.b64encode(content).decode()}


def command_body(command: Command, options: CommandOptions) -> dict[str, Any]:
    body = _body(options, CommandOptions)
    if body.pop("parallel", False):
        body["concurrency"] = "parallel"
    if "shellName" in body:
        body["state"] = "shared"
    return {**body, "command": command if isinstance(command, str) else list(command)}


def terminal_body(command: Command | None, options: TerminalOptions) -> dict[str, Any]:
    body = _body(options, TerminalOptions)
    if "idleTimeoutSeconds" in body:
        body["idleSeconds"] = body.pop("idleTimeoutSeconds")
    if command is not None:
        body["command"] = command if isinstance(command, str) else list(command)
    return body


def _body(options: Any, kind: Any) -> dict[str, Any]:
    unknown = sorted(set(options) - set(kind.__annotations__))
    if unknown:
        known = ", ".join(kind.__annotations__)
        raise TypeError(f"there is no option {unknown[0]!r}; the options are {known}")
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if "env" in given:
        given["env"] = dict(given["env"])
    if "metadata" in given:
        given["metadata"] = dict(given["metadata"])
    return {_NAMES.get(key, key): value for key, value in given.items()}
