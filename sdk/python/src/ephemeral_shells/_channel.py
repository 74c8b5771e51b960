"""The client's end of a data channel of AWS Session Manager, without a connection: messages that
were received go in, messages to send and the terminal's output come out."""

from __future__ import annotations

import json
import uuid
from collections import deque
from typing import Any, cast

from . import _frame
from ._frame import Frame

# The oldest release of AWS's client that AWS documents as supported.
_CLIENT_VERSION = "1.2.764.0"
# The largest payload of a message of input, by convention. Bytes.
_CHUNK = 1024
# Unacknowledged messages beyond this number wait.
_MAX_IN_FLIGHT = 512
# The largest distance of a message from the expected one, as in AWS's client.
_MAX_AHEAD = 10_000
# The oldest message is sent again after so long without an acknowledgement. Seconds.
_RESEND_AFTER = 0.5
# A peer that acknowledges nothing for so long is lost. Seconds.
_LOST_AFTER = 15.0
_SYN, _SYN_FIN = 1, 3


class DataChannel:
    def __init__(self, token: str, cols: int, rows: int, now: float) -> None:
        self.output: deque[bytes] = deque()
        """What the terminal has written, in order."""
        self.is_open = False
        """Whether the peer has accepted the token."""
        self.is_closed = False
        """Whether the peer has ended the channel."""
        self.message = ""
        """Why."""
        self.refusal: str | None = None
        """Why the peer has refused the channel, if it has; empty if it does not say why."""
        self._size = (cols, rows)
        self._to_send: list[str | bytes] = []
        self._unsent: deque[bytes] = deque()
        self._sequence = 0
        self._expected = 0
        self._early: dict[int, Frame] = {}
        # Of each unacknowledged message: its bytes, when it was sent first, and last.
        self._in_flight: dict[int, tuple[bytes, float, float]] = {}
        # The peer drops input in a handshake, and says when the terminal's end is away.
        self._in_handshake = False
        self._is_paused = False
        # Whether the peer has sent anything but a refusal.
        self._has_begun = False
        opening = {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": token,
            "ClientId": str(uuid.uuid4()),
            "ClientVersion": _CLIENT_VERSION,
        }
        self._to_send.append(json.dumps(opening))
        self.resize(cols, rows, now)

    def write(self, data: bytes) -> None:
        self._unsent += [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]

    @property
    def has_unsent(self) -> bool:
        """Whether input waits for the peer."""
        return bool(self._unsent)

    def resize(self, cols: int, rows: int, now: float) -> None:
        self._size = (cols, rows)
        self._send_json(_frame.SIZE, {"cols": cols, "rows": rows}, now)

    def to_send(self, now: float) -> list[str | bytes]:
        """The messages to send now. `now` is in seconds, of a clock that does not jump."""
        while self._unsent and len(self._in_flight) < _MAX_IN_FLIGHT:
            if self._in_handshake or self._is_paused:
                break
            self._send(_frame.OUTPUT, self._unsent.popleft(), now)
        if self._in_flight:
            # Later messages are not sent again: the peer has them, or they become the oldest.
            oldest = next(iter(self._in_flight))
            message, first, last = self._in_flight[oldest]
            if now - last > _RESEND_AFTER:
                self._in_flight[oldest] = (message, first, now)
                self._to_send.append(message)
        messages, self._to_send = self._to_send, []
        return messages

    def is_lost(self, now: float) -> bool:
        """Whether the peer has not acknowledged a message for too long."""
        first = next(iter(self._in_flight.values()), None)
        return first is not None and now - first[1] > _LOST_AFTER

    def receive(self, data: str | bytes, now: float) -> None:
        frame = _frame.decode(data) if isinstance(data, bytes) else None
        if frame is None:
            return
        if frame.type == "output_stream_data":
            self._receive_output(frame, now)
        elif frame.type == "acknowledge":
            self._is_paused = False
            sequence = _json(frame).get("AcknowledgedMessageSequenceNumber")
            self._in_flight.pop(sequence if isinstance(sequence, int) else -1, None)
        elif frame.type in ("start_publication", "pause_publication"):
            self._is_paused = frame.type == "pause_publication"
        elif frame.type == "channel_closed":
            reason = str(_json(frame).get("Output") or "")
            # The end of a channel before its beginning is a refusal.
            if self._has_begun:
                self.is_closed, self.message = True, reason
            else:
                self.refusal = reason
                return
        self._has_begun = True
        if not self.is_open and frame.type in ("output_stream_data", "acknowledge"):
            self.is_open = True

    def _receive_output(self, frame: Frame, now: float) -> None:
        # A damaged message is not acknowledged, so it comes again.
        if not frame.is_intact or frame.sequence - self._expected > _MAX_AHEAD:
            return
        self._is_paused = False
        acknowledgement = {
            "AcknowledgedMessageType": frame.type,
            "AcknowledgedMessageId": str(frame.message_id),
            "AcknowledgedMessageSequenceNumber": frame.sequence,
            "IsSequentialMessage": True,
        }
        payload = json.dumps(acknowledgement).encode()
        self._to_send.append(_frame.encode("acknowledge", 0, _SYN_FIN, 0, payload))
        if frame.sequence >= self._expected:
            self._early[frame.sequence] = frame
        while (following := self._early.pop(self._expected, None)) is not None:
            self._expected += 1
            self._deliver(following, now)

    def _deliver(self, frame: Frame, now: float) -> None:
        kind = frame.payload_type
        if kind in (_frame.OUTPUT, _frame.STDERR):
            # The server begins with an empty message, for clients of AWS.
            if frame.payload:
                self.output.append(frame.payload)
        elif kind == _frame.HANDSHAKE_REQUEST:
            self._in_handshake = True
            self._send_json(_frame.HANDSHAKE_RESPONSE, _handshake_response(_json(frame)), now)
        elif kind == _frame.HANDSHAKE_COMPLETE:
            self._in_handshake = False
            # The size that was sent before was dropped.
            self.resize(*self._size, now)

    def _send_json(self, payload_type: int, payload: dict[str, Any], now: float) -> None:
        self._send(payload_type, json.dumps(payload).encode(), now)

    def _send(self, payload_type: int, payload: bytes, now: float) -> None:
        flags = _SYN if self._sequence == 0 else 0
        message = _frame.encode("input_stream_data", self._sequence, flags, payload_type, payload)
        self._in_flight[self._sequence] = (message, now, now)
        self._sequence += 1
        self._to_send.append(message)


def _handshake_response(request: dict[str, Any]) -> dict[str, Any]:
    """The response of a client without encryption."""
    processed: list[dict[str, Any]] = []
    for action in cast("list[dict[str, Any]]", request.get("RequestedClientActions") or []):
        kind = action.get("ActionType")
        status, error = 1, ""
        if kind != "SessionType":
            status, error = 3, f"unsupported action {kind}"
        processed.append(
            {"ActionType": kind, "ActionStatus": status, "ActionResult": None, "Error": error}
        )
    errors = [action["Error"] for action in processed if action["Error"]]
    return {
        "ClientVersion": _CLIENT_VERSION,
        "ProcessedClientActions": processed,
        "Errors": errors,
    }


def _json(frame: Frame) -> dict[str, Any]:
    """The JSON of a payload; empty if it is none."""
    try:
        value: Any = json.loads(frame.payload)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
