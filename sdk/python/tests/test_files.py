"""Files of shells on a real server."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import anyio
import pytest
from conftest import Scripted, Server, problem, send

from ephemeral_shells import AsyncShell, Client, Shell
from ephemeral_shells.errors import (
    ConnectionFailedError,
    DirectoryNotEmptyError,
    PathNotFoundError,
    PermissionDeniedError,
)


def test_files_are_written_read_listed_and_removed(client: Client) -> None:
    with Shell.start(client=client) as shell:
        # The shell is waited for.
        stored = shell.files.write("in/grün.sh", "echo grün\n", mode=0o755)
        assert (stored["size"], stored["mode"]) == (11, "0755")
        assert shell.run("in/grün.sh").stdout == "grün\n"
        assert shell.files.read("in/grün.sh") == "echo grün\n".encode()
        assert shell.files.read_text("/home/shelluser/in/grün.sh") == "echo grün\n"
        shell.files.write("in/bytes", bytes(range(256)))
        assert shell.files.read("in/bytes") == bytes(range(256))
        listed = shell.files.list("in")
        assert [each["path"] for each in listed["entries"]] == ["bytes", "grün.sh"]
        assert not listed["truncated"]
        with pytest.raises(DirectoryNotEmptyError):
            shell.files.remove("in")
        shell.files.remove("in", recursive=True)
        with pytest.raises(PathNotFoundError):
            shell.files.read("in/bytes")
        with pytest.raises(PermissionDeniedError):
            shell.files.write("/etc/passwd", "")


def test_large_files_pass_in_pieces(client: Client, tmp_path: Path) -> None:
    local = tmp_path / "large"
    data = os.urandom(1 << 20) * 20
    local.write_bytes(data)
    local.chmod(0o640)
    with Shell.start(client=client) as shell:
        stored = shell.files.upload(local, "large")
        assert (stored["size"], stored["mode"]) == (len(data), "0640")
        shell.run("rev < large > /dev/null; cp large copy", check=True)
        shell.files.download("copy", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == data
        with pytest.raises(PathNotFoundError):
            shell.files.download("missing", tmp_path / "missing")
    assert sorted(os.listdir(tmp_path)) == ["copy", "large"]


def test_a_file_is_read_in_pieces(client: Client) -> None:
    with Shell.start(client=client) as shell:
        shell.files.write("large", b"x" * 3_000_000)
        pieces = [len(piece) for piece in shell.files.stream("large")]
        assert sum(pieces) == 3_000_000
        assert len(pieces) > 1
        # Whoever reads no further leaves the connection usable.
        beginning = shell.files.stream("large")
        assert next(beginning).startswith(b"xxx")
        beginning.close()
        shell.files.write("empty", b"")
        assert list(shell.files.stream("empty")) == []
        with pytest.raises(PathNotFoundError):
            next(shell.files.stream("missing"))


def test_any_bytes_can_be_written_and_nothing_else(client: Client, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("grün")
    with Shell.start(client=client) as shell:
        for content in (bytearray(b"abc"), memoryview(b"abc")):
            assert shell.files.write("file", content)["size"] == 3
        reader, writer = os.pipe()
        os.write(writer, b"through a pipe")
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            shell.files.write("file", pipe)
        assert shell.files.read("file") == b"through a pipe"
        with text.open() as file, pytest.raises(TypeError, match="binary mode"):
            shell.files.write("file", file)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="and not PosixPath"):
            shell.files.write("file", text)  # type: ignore[arg-type]


def test_directories_pass_as_archives(client: Client) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("a/b")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"hi"))
    archive.seek(0)
    with Shell.start(client=client) as shell:
        shell.files.unpack(archive, "project")
        assert shell.run("cat project/a/b").stdout == "hi"
        packed = shell.files.pack("project")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert "a/b" in [name.removeprefix("./") for name in tar.getnames()]


def test_files_are_used_asynchronously(local: Server) -> None:
    async def use() -> None:
        async with await AsyncShell.start() as shell:
            await shell.files.write("stream", io.BytesIO(b"x" * 1_000_000))
            assert await shell.files.read("stream") == b"x" * 1_000_000
            assert len((await shell.files.list())["entries"]) >= 1

    asyncio.run(use())


STREAM = {"text": "", "encoding": "utf-8", "bytes": 0, "keptBytes": 0, "nextOffset": 0}
STARTED = {"jobId": "job_1", "status": "completed", "stdout": STREAM, "stderr": STREAM}


def remove_after(first: tuple[int, str] | None) -> int:
    """Removes a file with a server that responds to the first request with this status and code, or
    not at all, and to the others that there is no such file. Returns the number of requests."""
    count = 0

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal count
        if request.command == "GET":
            # What a client asks that waits until the shell is ready.
            send(request, 200, {**STARTED, "startJobId": "job_1"})
            return
        count += 1
        if count > 1:
            send(request, 404, problem("path_not_found", 404))
        elif first is None:
            request.close_connection = True
            request.connection.close()
        else:
            send(request, first[0], problem(first[1], first[0], retryable=True), retry_after="0")

    with Scripted(respond) as server, Client(server.url, "token") as client:
        client.has_responded = True
        Shell(client, "sh_1").files.remove("file")
    return count


@pytest.mark.parametrize("first", [(404, "path_not_found"), (409, "not_ready"), (429, "too_many")])
def test_a_missing_file_is_not_removed_by_an_attempt_without_effect(first: tuple[int, str]) -> None:
    with pytest.raises(PathNotFoundError):
        remove_after(first)


@pytest.mark.parametrize("first", [None, (502, "unknown"), (503, "transfer_failed")])
def test_a_missing_file_may_be_removed_by_an_attempt_without_an_outcome(
    first: tuple[int, str] | None,
) -> None:
    assert remove_after(first) == 2


class Pipe(io.BytesIO):
    """Has nothing to read before it is `written`."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.written = threading.Event()

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1) -> bytes:
        if not self.written.wait(10):
            raise AssertionError("the writer of the pipe did not run")
        return super().read(size)


def test_a_pipe_may_be_written_by_a_task_of_the_same_loop(local: Server) -> None:
    async def use() -> None:
        async with await AsyncShell.start() as shell:
            pipe = Pipe(b"through a pipe")
            copy = asyncio.create_task(shell.files.write("file", pipe))
            await asyncio.sleep(0)
            pipe.written.set()
            await copy
            assert await shell.files.read("file") == b"through a pipe"

    asyncio.run(use())


def test_a_task_that_is_cancelled_does_not_wait_for_the_end_of_a_pipe(local: Server) -> None:
    async def use() -> None:
        async with await AsyncShell.start() as shell:
            pipe = Pipe(b"never written")
            with pytest.raises(TimeoutError), anyio.fail_after(0.1):
                await shell.files.write("file", pipe)
            assert not pipe.written.is_set()
            # Nothing stays in the thread.
            pipe.written.set()

    asyncio.run(use())


def test_a_server_that_dies_is_an_error_of_a_transfer(own_server: Server) -> None:
    with own_server.client(retry_for=0.5) as client:
        shell = Shell.start(client=client)
        shell.files.write("file", "old")
        own_server.kill()
        with pytest.raises(ConnectionFailedError):
            shell.files.write("file", io.BytesIO(b"new"))
        own_server.start()
        assert shell.files.read("file") == b"old"
