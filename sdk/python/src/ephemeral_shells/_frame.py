"""The binary messages of the data channel of AWS Session Manager. All integers are big-endian:

 0 header length (116, or 112 without a payload type)   64 message id, its halves swapped
 4 message type, padded with spaces to 32 bytes         80 SHA-256 of the payload
36 schema version                                      112 payload type
40 created, ms since 1970                              116 payload length
48 sequence number                                     120 payload
56 flags
"""

from __future__ import annotations

import hashlib
import struct
import time
import uuid
from typing import NamedTuple

_HEADER = struct.Struct(">L32sLQqQ16s32sL")
_LENGTH = struct.Struct(">L")
# Messages that come from the service itself have a header without a payload type.
_SHORT_HEADER = 112
_FULL_HEADER = 116

# Payload types.
OUTPUT, SIZE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE = 1, 3, 5, 6, 7
STDERR = 11


class Frame(NamedTuple):
    type: str
    sequence: int
    message_id: uuid.UUID
    payload_type: int
    payload: bytes
    is_intact: bool


def encode(type_: str, sequence: int, flags: int, payload_type: int, payload: bytes) -> bytes:
    message_id = uuid.uuid4().bytes
    header = _HEADER.pack(
        _FULL_HEADER,
        type_.encode().ljust(32),
        1,
        time.time_ns() // 1_000_000,
        sequence,
        flags,
        message_id[8:] + message_id[:8],
        hashlib.sha256(payload).digest(),
        payload_type,
    )
    return header + _LENGTH.pack(len(payload)) + payload


def decode(data: bytes) -> Frame | None:
    """Reads a message; None if it is malformed. The payload reaches to the end, whatever its length
    field says."""
    if len(data) < _FULL_HEADER:
        return None
    fields = _HEADER.unpack_from(data)
    length: int = fields[0]
    if length not in (_SHORT_HEADER, _FULL_HEADER) or len(data) < length + _LENGTH.size:
        return None
    payload = data[length + _LENGTH.size :]
    swapped: bytes = fields[6]
    # Some peers pad with NUL, some on the left.
    return Frame(
        type=fields[1].decode("latin-1").strip("\0 "),
        sequence=fields[4],
        message_id=uuid.UUID(bytes=swapped[8:] + swapped[:8]),
        payload_type=fields[8] if length == _FULL_HEADER else 0,
        payload=payload,
        is_intact=hashlib.sha256(payload).digest() == fields[7],
    )
