"""Errors, and requests that are repeated."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import get_args

import pytest
from conftest import Scripted, Server, problem, send

from ephemeral_shells import ApiError, Client, Shell, errors, models
from ephemeral_shells.errors import (
    ConnectionFailedError,
    InvalidRequestError,
    QuotaExceededError,
    SessionEndedError,
    UnauthenticatedError,
)

QUOTA = {"active": 0, "limit": 1, "queued": 0}


def test_each_code_of_the_api_has_a_class() -> None:
    classes = {kind.code for kind in vars(errors).values() if _is_api_error(kind)}
    assert classes - {"unknown"} == set(get_args(models.ProblemCode))


def _is_api_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, ApiError)


def test_an_unknown_code_is_an_error_of_the_base_class() -> None:
    error = ApiError.from_response(418, problem("new_code", 418), "7")
    assert type(error) is ApiError
    assert (error.code, error.status, error.retry_after) == ("new_code", 418, 7.0)
    assert str(ApiError.from_response(502, None, None)) == "the server responded with 502"


def test_a_wrong_value_is_named(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match="/ttlSeconds: ") as caught:
        Shell.start(client=client, ttl=-1, image="no such image")
    assert [error.get("pointer") for error in caught.value.errors] == ["/image", "/ttlSeconds"]


def test_a_wrong_token_is_an_error_that_does_not_show_it(server: Server) -> None:
    with Client(server.url, "wrong-secret") as client:
        with pytest.raises(UnauthenticatedError) as caught:
            client.quota()
        assert "wrong-secret" not in str(caught.value)
        assert "EPHEMERAL_TOKEN" in str(caught.value)


def test_a_server_that_was_never_there_is_an_error_at_once() -> None:
    began = time.monotonic()
    with Client("http://127.0.0.1:9", "token") as client:
        with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:9.*check that"):
            client.quota()
    assert time.monotonic() - began < 5


def test_a_request_is_repeated_under_the_same_key() -> None:
    keys: list[str | None] = []
    bodies: list[bytes] = []

    def respond(request: BaseHTTPRequestHandler, body: bytes) -> None:
        keys.append(request.headers["idempotency-key"])
        bodies.append(body)
        if len(keys) == 1:
            send(request, 503, problem("unavailable", 503), retry_after="0")
        elif len(keys) == 2:
            send(request, 502, b"<html>a proxy</html>")
        elif len(keys) == 3:
            # The response is lost.
            request.close_connection = True
            request.connection.close()
        else:
            send(request, 202, {"jobId": "job_1", "sessionId": "sh_1"})

    with Scripted(respond) as server, Client(server.url, "token") as client:
        shell = Shell.start(client=client, ttl=60)
    assert shell.id == "sh_1"
    assert len(keys) == 4
    assert len(set(keys)) == 1 and keys[0]
    assert len(set(bodies)) == 1


def test_two_requests_have_two_keys() -> None:
    keys: set[str | None] = set()

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        keys.add(request.headers["idempotency-key"])
        send(request, 202, {"jobId": "job_1", "sessionId": "sh_1"})

    with Scripted(respond) as server, Client(server.url, "token") as client:
        Shell.start(client=client)
        Shell.start(client=client)
    assert len(keys) == 2


def test_retry_after_is_waited_for() -> None:
    times: list[float] = []

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            send(request, 429, problem("too_many_requests", 429), retry_after="1")
        else:
            send(request, 200, QUOTA)

    with Scripted(respond) as server, Client(server.url, "token") as client:
        assert client.quota() == QUOTA
    assert times[1] - times[0] >= 1


def test_a_longer_retry_after_than_the_caller_has_time_for_is_an_error() -> None:
    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        send(request, 429, problem("quota_exceeded", 429), retry_after="5")

    began = time.monotonic()
    with Scripted(respond) as server, Client(server.url, "token", retry_for=2) as client:
        with pytest.raises(QuotaExceededError) as caught:
            client.quota()
    assert caught.value.retry_after == 5
    assert time.monotonic() - began < 2


def test_a_refusal_is_not_repeated() -> None:
    count = 0

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal count
        count += 1
        send(request, 410, problem("session_ended", 410))

    with Scripted(respond) as server, Client(server.url, "token") as client:
        with pytest.raises(SessionEndedError):
            client.post("/v1/shell/execute", {})
    assert count == 1


def test_what_is_not_the_api_is_an_error() -> None:
    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        send(request, 200, b"<html>hello</html>")

    with Scripted(respond) as server, Client(server.url, "token") as client:
        with pytest.raises(ApiError, match="not JSON; is http"):
            client.quota()


def test_a_redirect_is_not_followed_with_the_token() -> None:
    seen: list[str] = []

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        seen.append(request.path)
        send(request, 302, b"", location="/elsewhere")

    with Scripted(respond) as server, Client(server.url, "token") as client:
        with pytest.raises(ApiError, match="302"):
            client.quota()
    assert seen == ["/v1/quota"]


def test_the_events_of_a_lost_stream_continue_where_they_ended() -> None:
    last_ids: list[str | None] = []
    end = {"status": "completed"}

    def event(name: str, id_: str, data: object) -> bytes:
        return f"event: {name}\nid: {id_}\ndata: {json.dumps(data)}\n\n".encode()

    def output(offset: int, text: str) -> dict[str, object]:
        next_offset = offset + len(text)
        return {"stream": "stdout", "offset": offset, "text": text, "nextOffset": next_offset}

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> None:
        last_ids.append(request.headers["last-event-id"])
        request.close_connection = True
        request.send_response(200)
        request.send_header("content-type", "text/event-stream")
        request.end_headers()
        if len(last_ids) == 1:
            request.wfile.write(event("output", "3.0", output(0, "abc")) + b"event: out")
        else:
            # What was sent before is sent again.
            for part in (output(0, "abc"), output(3, "def")):
                request.wfile.write(event("output", "6.0", part))
            gap = {"stream": "stdout", "from": 6, "to": 10}
            request.wfile.write(event("gap", "10.0", gap))
            request.wfile.write(event("output", "12.0", output(10, "yz")))
            request.wfile.write(event("end", "12.0.end", end))

    with Scripted(respond) as server, Client(server.url, "token") as client:
        chunks = list(Shell(client, "sh_1").job("job_1").stream())
    assert last_ids == ["0.0", "3.0"]
    assert [(chunk.text, chunk.missing) for chunk in chunks] == [("abc", 0), ("def", 0), ("yz", 4)]


def test_a_client_is_shared_by_threads(client: Client) -> None:
    results: list[str] = []

    def one(number: int) -> None:
        with Shell.start(client=client) as shell:
            results.append(shell.run(f"echo {number}").stdout)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [f"{number}\n" for number in range(5)]
