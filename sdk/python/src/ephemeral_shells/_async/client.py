"""Requests to the API: the asynchronous client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from .. import _server
from .._retry import Backoff, new_key
from .._sse import EventParser, ServerEvent
from .._time import async_sleep
from .._version import __version__
from ..errors import ApiError, ConnectionFailedError

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self

    from ..models import Quota, UserEvent, UserEvents

# How long a response may take beyond the time that the request asks the server to wait. Seconds.
_TIMEOUT = 15.0
_CONNECT_TIMEOUT = 5.0
# How long a request for events, or for a result, waits for one. Seconds.
_EVENTS_WAIT = 20
# The server sends at least a comment in a third of this time.
_SILENCE = 45.0
_ACCEPTED = 202
_NO_CONTENT = 204
_SEE_OTHER = 303


class AsyncClient:
    """A server and a token for it. Without a `url`, it is that of EPHEMERAL_URL, else the server
    that runs on this machine; `token` likewise.

    A request that fails because the server does not respond or has no room is repeated for up to
    `retry_for` seconds, under one idempotency key, so that it has its effect once.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        retry_for: float = 30.0,
    ) -> None:
        import ssl

        import httpx

        address = _server.find(url, token, data_dir)
        self.url = address.url
        self.retry_for = retry_for
        self.has_responded = False
        """Whether the server has ever responded."""
        self.takes_bytes = False
        """Whether the server is known to take the bytes of files itself."""
        is_https = self.url.startswith("https:")
        self._http = httpx.AsyncClient(
            headers={
                "authorization": f"Bearer {address.token}",
                "user-agent": f"ephemeral-shells-python/{__version__}",
            },
            trust_env=_server.may_use_proxy(self.url),
            # Plain http needs no certificates, and reading them takes time.
            verify=True if is_https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def quota(self) -> Quota:
        """How many of your sessions are active, may be, and wait."""
        quota: Quota = await self.get("/v1/quota")
        return quota

    async def user_events(
        self, after: int | Literal["latest"] = "latest"
    ) -> AsyncGenerator[UserEvent, None]:
        """All events of all your shells, without an end: that a shell is ready or has ended, and
        that a command has ended. Those after the event of this `seq`, as far back as the server
        keeps them, or those to come.
        """
        while True:
            page: UserEvents = await self.get("/v1/events", after=after, waitSeconds=_EVENTS_WAIT)
            for event in page["data"]:
                yield event
            after = page["nextAfter"]

    async def get(self, path: str, **query: Any) -> Any:
        return await self.request("GET", path, query=query)

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        key: str | None = None,
        wait: int = 0,
        retry_for: float | None = None,
    ) -> Any:
        """Sends a request that has its effect once, however often it is repeated."""
        query = {"waitSeconds": wait} if wait else {}
        return await self.request(
            "POST", path, query=query, body=body, key=key or new_key(), retry_for=retry_for
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        retry_for: float | None = None,
    ) -> Any:
        """Sends a request, again if that may help, and returns the JSON of its response."""
        backoff = Backoff(self.retry_for if retry_for is None else retry_for)
        while True:
            try:
                return await self._send(method, path, query, body, key)
            except (ApiError, ConnectionFailedError) as error:
                await async_sleep(backoff.next(error, self.has_responded))

    async def events(self, path: str, last_event_id: str) -> AsyncGenerator[ServerEvent, None]:
        """The events of a stream behind `last_event_id`, until the connection ends."""
        import httpx

        headers = {"accept": "text/event-stream", "last-event-id": last_event_id}
        timeout = httpx.Timeout(_TIMEOUT, connect=_CONNECT_TIMEOUT, read=_SILENCE)
        parser = EventParser()
        try:
            async with self._http.stream(
                "GET", self.url + path, headers=headers, timeout=timeout
            ) as response:
                self.has_responded = True
                if not response.is_success:
                    await response.aread()
                    raise _refused(response)
                async for piece in response.aiter_bytes():
                    for event in parser.feed(piece):
                        yield event
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    @contextlib.asynccontextmanager
    async def transfer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any],
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[httpx.Response, None]:
        """Sends a request for files, once. The response is a success, and its body is not read."""
        import httpx

        request = self._transfer(
            method, self.url + path, query=query, content=content, headers=headers
        )
        try:
            response = await self._settled(await self._http.send(request, stream=True))
            try:
                if not response.is_success:
                    await response.aread()
                    raise _refused(response)
                yield response
            finally:
                await response.aclose()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error

    async def put(self, url: str, content: Any, size: int) -> None:
        """Puts bytes to a URL that needs no token."""
        import httpx

        headers = {"content-length": str(size)}
        request = self._transfer("PUT", url, content=content, headers=headers, has_token=False)
        try:
            response = await self._http.send(request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise _refused(response)

    def _transfer(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, Any] | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        has_token: bool = True,
    ) -> httpx.Request:
        """A request that may take long. One to another server must have no token."""
        import httpx

        request = self._http.build_request(
            method,
            url,
            params=query,
            content=content,
            headers=headers,
            timeout=httpx.Timeout(_SILENCE, connect=_CONNECT_TIMEOUT),
        )
        if not has_token:
            del request.headers["authorization"]
        return request

    async def _settled(self, response: httpx.Response) -> httpx.Response:
        """The response to a request for files that may have been accepted as a job: that of its
        result. A URL to which it redirects gets no token."""
        self.has_responded = True
        if response.is_success and response.status_code != _ACCEPTED:
            self.takes_bytes = True
        while response.status_code in (_ACCEPTED, _SEE_OTHER):
            await response.aclose()
            location = response.headers["location"]
            if response.status_code == _ACCEPTED:
                url, query = f"{self.url}{location}/result", {"waitSeconds": _EVENTS_WAIT}
                request = self._transfer("GET", url, query=query)
            else:
                request = self._transfer("GET", location, has_token=False)
            response = await self._http.send(request, stream=True)
        return response

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        key: str | None,
    ) -> Any:
        import httpx

        wait = int(query.get("waitSeconds", 0))
        try:
            response = await self._http.request(
                method,
                self.url + path,
                params={name: value for name, value in query.items() if value is not None},
                json=body,
                headers={"idempotency-key": key} if key else None,
                timeout=httpx.Timeout(_TIMEOUT, connect=_CONNECT_TIMEOUT, read=_TIMEOUT + wait),
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        self.has_responded = True
        if not response.is_success:
            raise _refused(response)
        if response.status_code == _NO_CONTENT:
            return None
        try:
            return response.json()
        except ValueError:
            detail = f"the response is not JSON; is {self.url} the URL of an ephemeral server?"
            raise ApiError(response.status_code, detail) from None

    def _unreachable(self, error: Exception) -> ConnectionFailedError:
        cause = str(error) or type(error).__name__
        return ConnectionFailedError(
            f"no response from {self.url}: {cause}; check that the server is running"
        )


def _refused(response: httpx.Response) -> ApiError:
    try:
        body = response.json()
    except ValueError:
        body = None
    return ApiError.from_response(response.status_code, body, response.headers.get("retry-after"))
