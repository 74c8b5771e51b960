"""A command that a shell runs: the asynchronous job."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from .._result import STREAMS, Chunk, Position, Result, is_final, result_of, stored_end
from .._retry import Backoff
from .._time import async_sleep, require_websockets
from ..errors import (
    ConnectionFailedError,
    EphemeralError,
    StreamingUnavailableError,
)
from .terminal import AsyncTerminal

if TYPE_CHECKING:
    from .. import models
    from .client import AsyncClient


# The longest time for which the server holds a response open. Seconds.
WAIT = 25
_POLL_WAIT = 1
_PAGE = 1 << 20


class AsyncJob:
    """A command that was submitted to a shell. Its output and its outcome outlive the shell."""

    def __init__(self, client: AsyncClient, job_id: str, shell_id: str) -> None:
        self.client = client
        self.id = job_id
        self.shell_id = shell_id

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r})"

    async def info(self) -> models.Job:
        """The job as the API shows it, with the beginning of its output."""
        return await self._get(0)

    async def wait(self, timeout: float | None = None) -> Result:
        """Waits for the command's end. Raises `TimeoutError` if that does not come in `timeout`
        seconds; the command runs on. Raises `JobFailedError` if the command could not be run or its
        outcome is not known."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT if deadline is None else max(0.0, deadline - time.monotonic())
            job = await self._get(min(WAIT, int(left)))
            if is_final(job):
                return await self.result(job)
            if deadline is not None and left < 1:
                if left <= 0:
                    raise TimeoutError(f"{self.id} has not ended in {timeout} s")
                await async_sleep(min(left, 0.05))

    async def stream(self) -> AsyncGenerator[Chunk, None]:
        """The output as it comes, from its beginning to the command's end. Continues when the
        server is back after a restart."""
        position = Position()
        backoff = Backoff(self.client.retry_for)
        has_streams = True
        while True:
            follow = self._events(position) if has_streams else self._pages(position)
            try:
                async with contextlib.aclosing(follow) as parts:
                    async for part in parts:
                        backoff.restart()
                        if part is None:
                            for chunk in position.end():
                                yield chunk
                            return
                        yield part
                lost = ConnectionFailedError(f"the connection to {self.client.url} was lost")
                await async_sleep(backoff.next(lost, has_responded=True))
            except StreamingUnavailableError:
                has_streams = False
            except EphemeralError as error:
                await async_sleep(backoff.next(error, self.client.has_responded))

    async def cancel(self) -> None:
        """Ends the command, queued or running."""
        await self.client.post(f"/v1/jobs/{self.id}/cancel", {})

    async def signal(self, signal: str | int) -> None:
        """Sends a signal to the running command, such as `"INT"`."""
        await self.client.post(f"/v1/jobs/{self.id}/signal", {"signal": signal})

    async def terminal(self, *, cols: int = 80, rows: int = 24) -> AsyncTerminal:
        """Opens the terminal of a running job, again or beside other clients."""
        require_websockets()
        await self.client.post(f"/v1/jobs/{self.id}/terminal", {})
        return await AsyncTerminal.open(self, cols, rows)

    async def result(self, job: models.Job) -> Result:
        """The result of a final job, with all of its output that is kept."""
        stdout, stderr = [await self._output(job, stream) for stream in STREAMS]
        return result_of(job, stdout, stderr)

    async def _get(self, wait: int) -> models.Job:
        job: models.Job = await self.client.get(f"/v1/jobs/{self.id}", waitSeconds=wait)
        return job

    async def _output(self, job: models.Job, name: Any) -> list[Any]:
        """The parts of what is kept of a stream. The job has its beginning."""
        stream = job["stdout"] if name == "stdout" else job["stderr"]
        parts: list[Any] = [stream]
        offset, end = stream.get("nextOffset", 0), stored_end(stream)
        while offset < end:
            part = await self._page(name, offset)
            if part["nextOffset"] <= offset:
                break
            parts.append(part)
            offset = part["nextOffset"]
        return parts

    async def _page(self, stream: str, offset: int) -> Any:
        path = f"/v1/jobs/{self.id}/output"
        return await self.client.get(path, stream=stream, offset=offset, limit=_PAGE)

    async def _events(self, position: Position) -> AsyncGenerator[Chunk | None, None]:
        """The rest of the output by the job's event stream, and None at the command's end."""
        events = self.client.events(f"/v1/jobs/{self.id}/stream", position.event_id)
        async with contextlib.aclosing(events) as parts:
            async for event in parts:
                data = json.loads(event.data)
                if event.event == "output":
                    for chunk in position.take(data, data["stream"]):
                        yield chunk
                elif event.event == "gap":
                    position.skip(data["stream"], data["to"])
                elif event.event == "end":
                    yield None
                    return

    async def _pages(self, position: Position) -> AsyncGenerator[Chunk | None, None]:
        """The same where the deployment has no streams."""
        while True:
            job = await self._get(_POLL_WAIT)
            for stream in STREAMS:
                end = stored_end(job["stdout"] if stream == "stdout" else job["stderr"])
                while position[stream] < end:
                    part = await self._page(stream, position[stream])
                    if part["nextOffset"] <= position[stream]:
                        break
                    for chunk in position.take(part, stream):
                        yield chunk
            if is_final(job):
                yield None
                return
