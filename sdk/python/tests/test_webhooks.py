"""Webhooks: those of a real server, and wrong ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import queue
import time
from http.server import BaseHTTPRequestHandler

import pytest
from conftest import Scripted, send

from ephemeral_shells import Client, Shell, WebhookError, verify_webhook

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def test_a_webhook_of_the_server_is_genuine(client: Client) -> None:
    received: queue.Queue[tuple[bytes, dict[str, str]]] = queue.Queue()

    def respond(request: BaseHTTPRequestHandler, body: bytes) -> None:
        received.put((body, dict(request.headers.items())))
        send(request, 204, b"")

    with Scripted(respond) as endpoint:
        webhook = {"url": endpoint.url}
        with Shell.start(client=client, webhook={"url": webhook["url"]}) as shell:
            assert shell.webhook_secret is not None
            body, headers = received.get(timeout=30)
            event = verify_webhook(body, headers, shell.webhook_secret)
            assert event["type"] == "session.ready"
            with pytest.raises(WebhookError, match="signature"):
                verify_webhook(body + b" ", headers, shell.webhook_secret)
            with pytest.raises(WebhookError, match="signature"):
                verify_webhook(body, headers, SECRET)
            shell.stop()


def signed(timestamp: int, body: bytes = b"{}") -> dict[str, str]:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    content = f"msg_1.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": f"v1,AAAA v1,{signature}",
    }


def test_an_old_webhook_is_refused() -> None:
    now = int(time.time())
    assert verify_webhook("{}", signed(now), SECRET) == {}
    with pytest.raises(WebhookError, match="too old"):
        verify_webhook(b"{}", signed(now - 1000), SECRET)
    assert verify_webhook(b"{}", signed(now - 1000), SECRET, tolerance=2000) == {}


def test_malformed_headers_and_secrets_are_refused() -> None:
    now = int(time.time())
    for name in signed(now):
        headers = signed(now)
        del headers[name]
        with pytest.raises(WebhookError, match="missing"):
            verify_webhook(b"{}", headers, SECRET)
    with pytest.raises(WebhookError, match="malformed"):
        verify_webhook(b"{}", {**signed(now), "Webhook-Timestamp": "soon"}, SECRET)
    with pytest.raises(WebhookError, match="signature"):
        verify_webhook(b"{}", {**signed(now), "Webhook-Signature": "v1,\xfc"}, SECRET)
    with pytest.raises(WebhookError, match="secret"):
        verify_webhook(b"{}", signed(now), "whsec_*")
