"""The files of a shell: the asynchronous class."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from .._retry import Backoff
from .._time import async_copy_file, async_sleep
from ..errors import (
    ApiError,
    ConnectionFailedError,
    NotFoundError,
    NotReadyError,
    PathNotFoundError,
    UploadsUnavailableError,
)

if TYPE_CHECKING:
    import httpx

    from .. import models
    from .shell import AsyncShell

    Content = bytes | bytearray | memoryview | str | BinaryIO

_T = TypeVar("_T")
_PIECE = 1 << 18
_BYTES: Mapping[str, str] = {"content-type": "application/octet-stream"}
_TAR: Mapping[str, str] = {"content-type": "application/x-tar"}


class AsyncFiles:
    """Reads and writes files of a shell, as the user of its commands. A relative path counts from
    the home directory. Waits until the shell is ready."""

    def __init__(self, shell: AsyncShell) -> None:
        self._shell = shell
        self._client = shell.client
        self._path = f"/v1/sessions/{shell.id}/files"

    async def write(
        self, path: str, content: Content, *, mode: int | None = None
    ) -> models.StoredFile:
        """Replaces or creates a file, with its directories. `mode` has permission bits, such as
        `0o755`; without it a file keeps its own. A text is written as UTF-8; what is read from a
        binary file that is open passes through in pieces."""
        query = {"path": path} if mode is None else {"path": path, "mode": f"{mode:04o}"}
        stored: models.StoredFile = await self._send(self._path, query, content, _BYTES)
        return stored

    async def read(self, path: str) -> bytes:
        """The content of a file."""
        return await self._receive(self._path, path, None)

    async def stream(self, path: str) -> AsyncGenerator[bytes, None]:
        """The content of a file in pieces, as they come. Iterate over it in
        `async with contextlib.aclosing(...)` if you may leave the loop before its end: that closes
        the connection at once."""
        async with contextlib.AsyncExitStack() as stack:

            async def open_file() -> httpx.Response:
                transfer = self._client.transfer("GET", self._path, query={"path": path})
                return await stack.enter_async_context(transfer)

            response = await self._retried(open_file)
            async for piece in response.aiter_bytes():
                yield piece

    async def read_text(self, path: str) -> str:
        """The content of a file as UTF-8, with U+FFFD for what is none."""
        return (await self.read(path)).decode(errors="replace")

    async def upload(self, local: str | os.PathLike[str], path: str) -> models.StoredFile:
        """Writes a file of this machine, with its permission bits, in pieces."""
        with open(local, "rb") as file:
            return await self.write(path, file, mode=os.fstat(file.fileno()).st_mode & 0o777)

    async def download(self, path: str, local: str | os.PathLike[str]) -> None:
        """Reads a file to this machine, in pieces. It takes its name when it is complete."""
        part = f"{os.fspath(local)}.part"
        try:
            with open(part, "wb") as file:
                await self._receive(self._path, path, file)
            os.replace(part, local)
        except BaseException:
            if os.path.exists(part):
                os.unlink(part)
            raise

    async def list(self, path: str = ".", *, depth: int = 1, limit: int = 1000) -> models.FileList:
        """The content of a directory; with `depth`, of those in it too."""
        query = {"path": path, "depth": depth, "limit": limit}

        async def read() -> models.FileList:
            url = f"{self._path}/list"
            async with self._client.transfer("GET", url, query=query) as response:
                await response.aread()
                entries: models.FileList = response.json()
            return entries

        return await self._retried(read)

    async def remove(self, path: str, *, recursive: bool = False) -> None:
        """Removes a file or an empty directory; with `recursive`, a directory with its content."""
        query = {"path": path, "recursive": "true" if recursive else "false"}

        may_be_removed = False

        async def remove() -> None:
            nonlocal may_be_removed
            try:
                async with self._client.transfer("DELETE", self._path, query=query):
                    pass
            except PathNotFoundError:
                if not may_be_removed:
                    raise
            except (ApiError, ConnectionFailedError) as error:
                # The outcome is not known if the response was lost or is a failure of the server.
                if not isinstance(error, ApiError) or error.status >= 500:
                    may_be_removed = True
                raise

        await self._retried(remove)

    async def pack(self, path: str = ".") -> bytes:
        """The content of a directory, or a file, as a tar archive."""
        return await self._receive(f"{self._path}/archive", path, None)

    async def unpack(self, archive: Content, path: str = ".") -> models.Unpacked:
        """Unpacks a tar archive into a directory."""
        answer: models.Unpacked = await self._send(
            f"{self._path}/archive", {"path": path}, archive, _TAR
        )
        return answer

    async def _send(
        self, url: str, query: dict[str, str], content: Content, headers: Mapping[str, str]
    ) -> Any:
        data = _data(content)
        if isinstance(data, bytes) or data.seekable():
            return await self._send_again(url, query, data, headers)
        # What can be read once only is copied, as it may have to be sent twice.
        import tempfile

        with tempfile.TemporaryFile() as copy:
            await async_copy_file(data, copy)
            copy.seek(0)
            return await self._send_again(url, query, copy, headers)

    async def _send_again(
        self, url: str, query: dict[str, str], data: bytes | BinaryIO, headers: Mapping[str, str]
    ) -> Any:
        begin = 0 if isinstance(data, bytes) else data.tell()

        def body() -> Any:
            if isinstance(data, bytes):
                return data
            data.seek(begin)
            return _pieces(data)

        async def send() -> Any:
            upload = await self._upload(_size(data, begin), body)
            bytes_or_none = body() if upload is None else None
            to = query if upload is None else {**query, "upload": upload}
            async with self._client.transfer(
                "PUT", url, query=to, content=bytes_or_none, headers=headers
            ) as response:
                await response.aread()
                return response.json()

        return await self._retried(send)

    async def _upload(self, size: int, body: Callable[[], Any]) -> str | None:
        """Puts bytes where a server wants them that does not take them itself; the upload's id."""
        if self._client.takes_bytes:
            return None
        try:
            upload: models.Upload = await self._client.request(
                "POST", f"{self._path}/uploads", query={}, body={"size": size}
            )
        except UploadsUnavailableError:
            self._client.takes_bytes = True
            return None
        except NotFoundError:
            # An earlier server has no such route, or the next request tells what is not found.
            return None
        await self._client.put(upload["url"], body(), size)
        return upload["uploadId"]

    async def _receive(self, url: str, path: str, file: BinaryIO | None) -> bytes:
        async def receive() -> bytes:
            async with self._client.transfer("GET", url, query={"path": path}) as response:
                if file is None:
                    return await response.aread()
                file.seek(0)
                file.truncate()
                async for piece in response.aiter_bytes():
                    file.write(piece)
                return b""

        return await self._retried(receive)

    async def _retried(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """The result of an attempt, which has the same effect when it is repeated."""
        backoff = Backoff(self._client.retry_for)
        while True:
            try:
                return await attempt()
            except NotReadyError:
                await self._shell.wait_ready()
            except (ApiError, ConnectionFailedError) as error:
                await async_sleep(backoff.next(error, self._client.has_responded))


def _data(content: Content) -> bytes | BinaryIO:
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    if isinstance(content, io.TextIOBase):
        raise TypeError("the file is open as text; open it in binary mode")
    if not hasattr(content, "seekable"):
        kind = type(content).__name__
        raise TypeError(f"the content must be bytes, text or an open file, and not {kind}")
    return content


async def _pieces(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    while piece := file.read(_PIECE):
        yield piece


def _size(data: bytes | BinaryIO, begin: int) -> int:
    return len(data) if isinstance(data, bytes) else data.seek(0, os.SEEK_END) - begin
