"""A disposable shell: the asynchronous class."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .._options import (
    Command,
    CommandOptions,
    StartOptions,
    TerminalOptions,
    command_body,
    start_body,
    terminal_body,
)
from .._result import Chunk, Result, is_final
from .._retry import new_key
from .._time import async_call, async_shield, require_websockets
from ..errors import EphemeralError
from .client import AsyncClient
from .files import AsyncFiles
from .job import WAIT, AsyncJob
from .terminal import AsyncTerminal

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .. import models

    # In the class, the name is that of a method.
    Sessions = list[models.Session]
    Events = list[models.Event]
    Jobs = list[models.Job]
    Processes = list[models.Process]

# How long a stop is tried when the caller was interrupted. Seconds.
_INTERRUPTED = 5.0
_PAGE = 100


class AsyncShell:
    """A disposable shell. Used in `async with`, it is stopped at the end of the block, also if that
    is left by an error or by Ctrl-C."""

    def __init__(self, client: AsyncClient, shell_id: str, *, owns_client: bool = False) -> None:
        self.client = client
        self.id = shell_id
        self.webhook_secret: str | None = None
        """The key that signs webhooks, if the server has made one for this shell."""
        self._owns_client = owns_client

    @property
    def files(self) -> AsyncFiles:
        """Reads and writes files of the shell."""
        return AsyncFiles(self)

    def __repr__(self) -> str:
        return f"AsyncShell({self.id!r})"

    @classmethod
    async def start(
        cls, *, client: AsyncClient | None = None, **options: Unpack[StartOptions]
    ) -> Self:
        """Starts a shell. Commands may be sent at once: they run when it is ready."""
        body, key = start_body(options), new_key()
        used = client or AsyncClient()
        try:
            accepted: models.Accepted = await used.post("/v1/shell/start", body, key=key)
        except BaseException as error:
            async with async_shield():
                if not isinstance(error, Exception) and used.has_responded:
                    await _stop_started(used, body, key)
                if client is None:
                    await used.aclose()
            raise
        shell = cls(used, accepted["sessionId"], owns_client=client is None)
        shell.webhook_secret = accepted.get("webhookSecret")
        return shell

    @classmethod
    async def attach(cls, shell_id: str, *, client: AsyncClient | None = None) -> Self:
        """The shell of this id. Raises `NotFoundError` if there is none."""
        shell = cls(client or AsyncClient(), shell_id, owns_client=client is None)
        try:
            await shell.info()
        except BaseException:
            await shell.aclose()
            raise
        return shell

    @classmethod
    async def list(
        cls,
        *,
        client: AsyncClient | None = None,
        status: models.SessionStatus | None = None,
        limit: int = _PAGE,
    ) -> Sessions:
        """Your newest sessions, newest first."""
        used = client or AsyncClient()
        sessions: Sessions = []
        cursor: str | None = None
        try:
            while len(sessions) < limit:
                size = min(_PAGE, limit - len(sessions))
                page = await used.get("/v1/sessions", status=status, limit=size, cursor=cursor)
                sessions += page["data"]
                cursor = page["nextCursor"]
                if cursor is None:
                    break
        finally:
            if client is None:
                await used.aclose()
        return sessions

    async def run(
        self,
        command: Command,
        *,
        check: bool = False,
        on_output: Callable[[Chunk], object] | None = None,
        **options: Unpack[CommandOptions],
    ) -> Result:
        """Runs a command and waits for its end. With `check`, raises `CommandError` unless it exits
        with 0. A command that was not run to an end raises `JobFailedError`. `on_output` is called
        with each part of the output as it comes. What it raises ends `run` but not the command: to
        cancel that then, `submit` it, and follow `AsyncJob.stream` instead."""
        if on_output is None:
            answer: models.Job = await self._execute(command, options, wait=WAIT)
            job = AsyncJob(self.client, answer["jobId"], self.id)
            has_ended = "stdout" in answer and is_final(answer)
            result = await (job.result(answer) if has_ended else job.wait())
        else:
            job = await self.submit(command, **options)
            async with contextlib.aclosing(job.stream()) as chunks:
                async for chunk in chunks:
                    await async_call(on_output, chunk)
            result = await job.wait()
        return result.check() if check else result

    async def submit(self, command: Command, **options: Unpack[CommandOptions]) -> AsyncJob:
        """Submits a command and returns at once."""
        answer: models.Accepted = await self._execute(command, options, wait=0)
        return AsyncJob(self.client, answer["jobId"], self.id)

    def job(self, job_id: str) -> AsyncJob:
        """A job of this shell that was submitted before."""
        return AsyncJob(self.client, job_id, self.id)

    async def jobs(self) -> Jobs:
        """All jobs of this shell, oldest first, without their output."""
        jobs: Jobs = []
        cursor: str | None = None
        while True:
            path = f"/v1/sessions/{self.id}/jobs"
            page = await self.client.get(path, limit=_PAGE, cursor=cursor)
            jobs += page["data"]
            cursor = page["nextCursor"]
            if cursor is None:
                return jobs

    async def terminal(
        self, command: Command | None = None, **options: Unpack[TerminalOptions]
    ) -> AsyncTerminal:
        """Opens a terminal with this program, or with the user's login shell."""
        require_websockets()
        body = terminal_body(command, options)
        answer: models.Accepted = await self.client.post(f"/v1/sessions/{self.id}/terminal", body)
        job = AsyncJob(self.client, answer["jobId"], self.id)
        return await AsyncTerminal.open(job, body.get("cols", 80), body.get("rows", 24))

    async def info(self) -> models.Session:
        """The session as the API shows it."""
        session: models.Session = await self.client.get(f"/v1/sessions/{self.id}")
        return session

    async def wait_ready(self) -> models.Session:
        """Waits until the shell is ready. Raises `JobFailedError` if it could not be started."""
        session = await self.info()
        await AsyncJob(self.client, session["startJobId"], self.id).wait()
        return await self.info()

    async def processes(self) -> Processes:
        """What the commands of the shell run, background processes included; at most 1000."""
        page: models.Processes = await self.client.get(f"/v1/sessions/{self.id}/processes")
        return page["processes"]

    async def signal_process(self, process: models.Process | int, signal: str | int) -> None:
        """Sends a signal, such as `"TERM"`, to one process: a pid, or one that was listed. Raises
        `NotFoundError` if that has ended, also if another process has its pid by now."""
        pid = process if isinstance(process, int) else process["pid"]
        body: dict[str, Any] = {"signal": signal}
        if not isinstance(process, int):
            body["startedAt"] = process["startedAt"]
        await self.client.post(f"/v1/sessions/{self.id}/processes/{pid}/signal", body)

    async def timeline(self) -> Events:
        """What has happened to the session until now."""
        events: Events = []
        while True:
            after = events[-1]["seq"] if events else 0
            path = f"/v1/sessions/{self.id}/events"
            page = await self.client.get(path, after=after, limit=_PAGE)
            events += page["data"]
            if len(page["data"]) < _PAGE:
                return events

    async def extend(self, ttl: int, *, allow_shorten: bool = False) -> models.Session:
        """Moves the end of the shell to `ttl` seconds from now."""
        body = {"ttlSecondsFromNow": ttl, "allowShorten": allow_shorten}
        session: models.Session = await self.client.post(f"/v1/sessions/{self.id}/extend", body)
        return session

    async def stop(
        self, *, drain: bool = False, reason: str | None = None, wait: bool = True
    ) -> None:
        """Stops the shell, with `drain` after its queued commands, and waits until it is gone."""
        body: dict[str, Any] = {"sessionId": self.id, "drain": drain}
        if reason is not None:
            body["reason"] = reason
        answer: models.Accepted = await self.client.post("/v1/shell/stop", body)
        if wait:
            await AsyncJob(self.client, answer["jobId"], self.id).wait()

    async def aclose(self) -> None:
        """Closes the connections to the server. The shell stays."""
        if self._owns_client:
            await self.client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops the shell. The server sees to it; this does not wait until the shell is gone."""
        try:
            async with async_shield():
                if error is None:
                    await self.stop(wait=False)
                    return
                # The error of the block is the one to raise.
                with contextlib.suppress(EphemeralError):
                    body = {"sessionId": self.id}
                    await self.client.post("/v1/shell/stop", body, retry_for=_INTERRUPTED)
        finally:
            await self.aclose()

    async def _execute(self, command: Command, options: CommandOptions, wait: int) -> Any:
        body = {**command_body(command, options), "sessionId": self.id}
        return await self.client.post("/v1/shell/execute", body, wait=wait)


async def _stop_started(client: AsyncClient, body: dict[str, Any], key: str) -> None:
    """Stops a shell whose start was interrupted: the same key gets the response to that start."""
    with contextlib.suppress(EphemeralError):
        accepted = await client.post("/v1/shell/start", body, key=key, retry_for=_INTERRUPTED)
        stop = {"sessionId": accepted["sessionId"]}
        await client.post("/v1/shell/stop", stop, retry_for=_INTERRUPTED)
