"""Terminals on a real server, and their data channel."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import Server as WebSocketServer
from websockets.sync.server import ServerConnection, serve

from ephemeral_shells import Client, Job, JobFailedError, Shell, Terminal, _frame
from ephemeral_shells._channel import DataChannel
from ephemeral_shells.errors import JobFinishedError, TerminalClosedError


def test_a_program_runs_on_a_terminal(client: Client) -> None:
    with Shell.start(client=client) as shell:
        with shell.terminal(cols=100, rows=30) as terminal:
            terminal.write("stty size; exit 5\n")
            output = b"".join(terminal)
        assert b"30 100" in output
        assert terminal.wait().exit_code == 5


def test_a_terminal_has_a_new_size(client: Client) -> None:
    program = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    with Shell.start(client=client) as shell, shell.terminal(program) as terminal:
        terminal.read_until(b"ready", timeout=30)
        terminal.resize(132, 43)
        assert b"43 132" in terminal.read_until(b"43 132", timeout=30)


def test_a_terminal_is_opened_again(client: Client) -> None:
    with Shell.start(client=client) as shell:
        terminal = shell.terminal("echo hello; read -r line; echo got $line")
        with terminal:
            terminal.read_until(b"hello", timeout=30)
        with terminal.job.terminal(cols=90) as again:
            again.read_until(b"hello", timeout=30)
            again.write("it\n")
            assert b"got it" in b"".join(again)
        again.wait()
        with pytest.raises(JobFinishedError):
            terminal.job.terminal()


def test_much_input_and_output_pass_a_terminal(client: Client) -> None:
    size = 3_000_000
    program = f"stty raw -echo; echo ready; head -c {size} | sha256sum; exit 0"
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with Shell.start(client=client) as shell:
        with shell.terminal(program) as terminal:
            terminal.read_until(b"ready", timeout=30)
            terminal.write(data)
            output = terminal.read_until(b"-", timeout=60)
        assert hashlib.sha256(data).hexdigest().encode() in output
        with shell.terminal("stty -opost -echo; echo ready; read -r; seq 200000") as terminal:
            terminal.read_until(b"ready", timeout=30)
            # Before, without a client, nothing but the end would have been kept.
            terminal.write("\n")
            numbers = b"".join(b"%d\n" % number for number in range(1, 200001))
            assert b"".join(terminal).lstrip() == numbers


def test_a_terminal_of_a_missing_program_is_an_error(client: Client) -> None:
    with Shell.start(client=client) as shell, pytest.raises(JobFailedError):
        shell.terminal(["no-such-program"])


def test_a_refusal_is_an_error_with_its_reason_at_once() -> None:
    reason = "the token was used"
    closed = _frame.encode("channel_closed", 0, 0, 0, json.dumps({"Output": reason}).encode())

    def respond(connection: ServerConnection, request: Request) -> Response | None:
        if "/v1/jobs/" not in request.path:
            return None
        access = {"streamUrl": "ws://127.0.0.1/channel", "tokenValue": "used"}
        job = {"jobId": "job_1", "status": "running", "terminal": access}
        return connection.respond(HTTPStatus.OK, json.dumps(job))

    def refuse(connection: ServerConnection) -> None:
        connection.recv()
        connection.send(closed)
        # The client is the one that closes the connection.
        list(connection)

    # Its type is incomplete.
    new_server = cast("Callable[..., WebSocketServer]", serve)
    server = new_server(refuse, "127.0.0.1", 0, process_request=respond)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        with (
            Client(url, "token") as client,
            Terminal.open(Job(client, "job_1", "sh_1"), 80, 24) as terminal,
        ):
            for _ in range(2):
                with pytest.raises(TerminalClosedError, match=f"job_1 was refused: {reason}$"):
                    terminal.read(timeout=5)
    finally:
        server.shutdown()
        thread.join()


def test_the_end_of_a_channel_that_has_begun_is_no_refusal() -> None:
    channel = DataChannel("token", 80, 24, 0.0)
    channel.receive(output_frame(0, b"last"), 0.0)
    channel.receive(_frame.encode("channel_closed", 0, 0, 0, b'{"Output": "the end"}'), 0.0)
    assert (channel.is_closed, channel.message, channel.refusal) == (True, "the end", None)


def output_frame(sequence: int, payload: bytes, kind: int = _frame.OUTPUT) -> bytes:
    return _frame.encode("output_stream_data", sequence, 0, kind, payload)


def frames(channel: DataChannel, now: float) -> list[_frame.Frame]:
    sent = [each for each in channel.to_send(now) if isinstance(each, bytes)]
    return [frame for each in sent if (frame := _frame.decode(each)) is not None]


def test_messages_are_put_in_order_and_acknowledged_once_more_if_repeated() -> None:
    channel = DataChannel("token", 80, 24, 0.0)
    frames(channel, 0.0)
    for sequence, payload in ((1, b"b"), (0, b"a"), (1, b"b"), (2, b"c")):
        channel.receive(output_frame(sequence, payload), 0.0)
    assert b"".join(channel.output) == b"abc"
    acknowledged = [json.loads(frame.payload) for frame in frames(channel, 0.0)]
    numbers = [each["AcknowledgedMessageSequenceNumber"] for each in acknowledged]
    assert numbers == [1, 0, 1, 2]


def test_a_damaged_message_is_not_acknowledged() -> None:
    channel = DataChannel("token", 80, 24, 0.0)
    frames(channel, 0.0)
    channel.receive(output_frame(0, b"good")[:-1] + b"x", 0.0)
    channel.receive(b"short", 0.0)
    channel.receive("text", 0.0)
    assert not channel.output
    assert not frames(channel, 0.0)


def test_the_oldest_message_is_sent_again_until_it_is_acknowledged() -> None:
    channel = DataChannel("token", 80, 24, 0.0)
    [size] = frames(channel, 0.0)
    assert json.loads(size.payload) == {"cols": 80, "rows": 24}
    assert not frames(channel, 0.4)
    assert [frame.sequence for frame in frames(channel, 0.6)] == [0]
    assert channel.is_lost(15.1)
    acknowledgement = json.dumps({"AcknowledgedMessageSequenceNumber": 0}).encode()
    channel.receive(_frame.encode("acknowledge", 0, 3, 0, acknowledgement), 0.7)
    assert not frames(channel, 2.0)
    assert not channel.is_lost(16.0)


def test_input_waits_for_the_end_of_a_handshake() -> None:
    channel = DataChannel("token", 80, 24, 0.0)
    frames(channel, 0.0)
    request = {"RequestedClientActions": [{"ActionType": "SessionType"}, {"ActionType": "Other"}]}
    channel.receive(output_frame(0, json.dumps(request).encode(), _frame.HANDSHAKE_REQUEST), 0.0)
    channel.write(b"typed")
    sent = frames(channel, 0.0)
    assert [frame.payload_type for frame in sent] == [0, _frame.HANDSHAKE_RESPONSE]
    processed = json.loads(sent[1].payload)["ProcessedClientActions"]
    assert [action["ActionStatus"] for action in processed] == [1, 3]
    channel.receive(output_frame(1, b"{}", _frame.HANDSHAKE_COMPLETE), 0.0)
    sent = frames(channel, 0.0)
    assert [frame.payload_type for frame in sent] == [_frame.SIZE, 0, _frame.OUTPUT] or [
        frame.payload_type for frame in sent
    ] == [0, _frame.SIZE, _frame.OUTPUT]
    assert sent[-1].payload == b"typed"
