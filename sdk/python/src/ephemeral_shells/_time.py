"""What differs between the synchronous and the asynchronous classes."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from typing import BinaryIO

    from websockets.asyncio.client import ClientConnection as AsyncConnection
    from websockets.sync.client import ClientConnection

_T = TypeVar("_T")


def sleep(seconds: float) -> None:
    time.sleep(seconds)


async def async_sleep(seconds: float) -> None:
    import anyio

    await anyio.sleep(seconds)


@contextlib.contextmanager
def shield() -> Generator[None, None, None]:
    """Nothing cancels the code of a thread."""
    yield


@contextlib.asynccontextmanager
async def async_shield() -> AsyncGenerator[None, None]:
    """Completes what it contains although the task is cancelled."""
    import anyio

    with anyio.CancelScope(shield=True):
        yield


def call(function: Callable[[_T], object], argument: _T) -> None:
    function(argument)


async def async_call(function: Callable[[_T], object], argument: _T) -> None:
    """Calls a function that may be asynchronous, and waits for its end."""
    result = function(argument)
    if isinstance(result, Awaitable):
        await result


def copy_file(source: BinaryIO, target: BinaryIO) -> None:
    import shutil

    shutil.copyfileobj(source, target)


async def async_copy_file(source: BinaryIO, target: BinaryIO) -> None:
    """Copies in a thread: what writes a pipe may be a task of the same event loop. A task that is
    cancelled does not wait for the end of the pipe."""
    import anyio.to_thread

    await anyio.to_thread.run_sync(copy_file, source, target, abandon_on_cancel=True)


def require_websockets() -> None:
    """Before a terminal is asked for that could not be opened."""
    if importlib.util.find_spec("websockets") is None:
        raise ImportError("terminals need: pip install 'ephemeral-shells[terminal]'")


def connect(url: str, **options: Any) -> ClientConnection:
    from websockets.sync.client import connect as websocket

    # Entered, as newer versions ask for; `close` is what leaving it does.
    return cast("Callable[..., ClientConnection]", websocket)(url, **options).__enter__()


async def async_connect(url: str, **options: Any) -> AsyncConnection:
    from websockets.asyncio.client import connect as websocket

    return await websocket(url, **options)


def receive(connection: ClientConnection, seconds: float) -> str | bytes:
    return connection.recv(timeout=seconds)


async def async_receive(connection: AsyncConnection, seconds: float) -> str | bytes:
    import asyncio

    try:
        return await asyncio.wait_for(connection.recv(), seconds)
    except asyncio.TimeoutError:
        raise TimeoutError from None
