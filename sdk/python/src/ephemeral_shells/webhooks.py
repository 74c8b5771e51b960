"""Verifies webhooks (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, cast

from .errors import EphemeralError

# How far the time of a webhook may be from ours. Seconds.
TOLERANCE = 300


class WebhookError(EphemeralError):
    """A webhook is not genuine, or too old."""


def verify_webhook(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Checks the signature and the age of a webhook, and returns its JSON.

    `body` is what was received, byte by byte. `secret` is the session's: `whsec_…`. Raises
    `WebhookError` if the webhook is not from the server. A webhook may arrive twice, with the same
    header `webhook-id`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
        sent_at = int(timestamp)
    except (KeyError, ValueError):
        raise WebhookError("a header of the signature is missing or malformed") from None
    if abs(time.time() - sent_at) > tolerance:
        raise WebhookError("the webhook is too old, or the clock of this machine is wrong")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise WebhookError("the secret is not whsec_ and base64") from None
    content = body.encode() if isinstance(body, str) else body
    signed = f"{message_id}.{timestamp}.".encode() + content
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    if not any(hmac.compare_digest(expected.encode(), each.encode()) for each in signatures):
        raise WebhookError("the signature is wrong")
    return cast("dict[str, Any]", json.loads(content))
