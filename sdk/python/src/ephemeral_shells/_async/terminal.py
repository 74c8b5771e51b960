"""A program on a terminal: the asynchronous terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .. import _server
from .._channel import DataChannel
from .._result import Result, is_final
from .._time import async_connect, async_receive
from ..errors import TerminalClosedError

if TYPE_CHECKING:
    from typing_extensions import Self

    from .. import models
    from .job import AsyncJob

# How often messages that were not acknowledged are looked for. Seconds.
_TICK = 0.25
_MAX_MESSAGE = 2 << 20


class AsyncTerminal:
    """A terminal of a shell. Iterate over it, or call `read`, for what the program writes.

    Leaving it (`aclose`, or the end of `async with`) does not end the program: `AsyncJob.terminal`
    opens it again. What was read is acknowledged, so that a program waits for its slow reader.
    """

    def __init__(self, job: AsyncJob, connection: Any, channel: DataChannel) -> None:
        self.job = job
        self._connection = connection
        self._channel = channel

    @classmethod
    async def open(cls, job: AsyncJob, cols: int, rows: int) -> Self:
        offer = await _offered(job)
        if "terminal" not in offer:
            await job.result(offer)  # Says why the program could not be run, if so.
            raise TerminalClosedError(f"the program of {job.id} has ended: {offer['status']}")
        access = offer["terminal"]
        url = _server.reachable(access["streamUrl"], job.client.url)
        options: dict[str, Any] = {} if _server.may_use_proxy(job.client.url) else {"proxy": None}
        try:
            connection = await async_connect(
                url, max_size=_MAX_MESSAGE, compression=None, **options
            )
        except Exception as error:
            raise TerminalClosedError(
                f"can't connect to the terminal of {job.id}: {error}"
            ) from error
        channel = DataChannel(access["tokenValue"], cols, rows, time.monotonic())
        terminal = cls(job, connection, channel)
        await terminal._flush()
        return terminal

    async def wait(self, timeout: float | None = None) -> Result:
        """Waits for the program's end, as `AsyncJob.wait` does."""
        return await self.job.wait(timeout)

    async def read(self, timeout: float | None = None) -> bytes:
        """What the program has written next; empty after its end. Raises `TimeoutError` if nothing
        comes in `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._channel.output:
            if self._channel.is_closed:
                return b""
            left = _TICK if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the program has written nothing in {timeout} s")
            await self._receive(min(left, _TICK))
        data = b"".join(self._channel.output)
        self._channel.output.clear()
        return data

    async def read_until(self, text: bytes, timeout: float = 60.0) -> bytes:
        """What the program writes up to the first part that completes `text`."""
        deadline = time.monotonic() + timeout
        data = b""
        while text not in data:
            part = await self.read(max(0.0, deadline - time.monotonic()))
            if not part:
                raise TerminalClosedError(f"the program has ended without writing {text!r}")
            data += part
        return data

    async def write(self, data: bytes | str) -> None:
        """Types this."""
        self._channel.write(data.encode() if isinstance(data, str) else data)
        await self._flush()
        while self._channel.has_unsent and not self._channel.is_closed:
            await self._receive(_TICK)

    async def resize(self, cols: int, rows: int) -> None:
        self._channel.resize(cols, rows, time.monotonic())
        await self._flush()

    async def aclose(self) -> None:
        """Leaves the terminal; its program goes on."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def _receive(self, seconds: float) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            message = await async_receive(self._connection, seconds)
        except TimeoutError:
            pass
        except ConnectionClosed as error:
            if self._channel.is_closed:
                return
            raise self._failed("was lost" if self._channel.is_open else "was refused") from error
        else:
            self._channel.receive(message, time.monotonic())
        if self._channel.refusal is not None:
            raise self._failed("was refused")
        if self._channel.is_lost(time.monotonic()):
            raise TerminalClosedError(f"the terminal of {self.job.id} does not respond")
        await self._flush()

    def _failed(self, what: str) -> TerminalClosedError:
        reason = f": {self._channel.refusal}" if self._channel.refusal else ""
        return TerminalClosedError(
            f"the connection to the terminal of {self.job.id} {what}{reason}"
        )

    async def _flush(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            for message in self._channel.to_send(time.monotonic()):
                await self._connection.send(message)
        except ConnectionClosed:
            # The next read says so, after what was received before.
            return


async def _offered(job: AsyncJob) -> models.Job:
    """The job, once its terminal can be opened or it has ended."""
    while True:
        offer: models.Job = await job.client.get(f"/v1/jobs/{job.id}", waitSeconds=25)
        if "terminal" in offer or is_final(offer):
            return offer
