"""Which requests are repeated, and when."""

from __future__ import annotations

import secrets
import time

from .errors import ApiError, ConnectionFailedError, EphemeralError

FIRST_DELAY = 0.1
MAX_DELAY = 2.0


def new_key() -> str:
    """A random idempotency key."""
    return f"python-{secrets.token_hex(16)}"


class Backoff:
    """The pauses before the repetitions of one request: at most `limit` seconds in all."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.restart()

    def restart(self) -> None:
        """Forgets earlier attempts: the server has responded."""
        self._deadline: float | None = None
        self._delay = FIRST_DELAY

    def next(self, error: EphemeralError, has_responded: bool) -> float:
        """The seconds to wait before the next attempt. Raises the error if there is none.

        A server that has never responded is not restarting: it is not there.
        """
        if isinstance(error, ApiError):
            may_help = error.status in (429, 502, 503, 504) and error.retryable
        else:
            may_help = isinstance(error, ConnectionFailedError) and has_responded
        if not may_help:
            raise error
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._limit
        delay = self._delay
        if isinstance(error, ApiError) and error.retry_after is not None:
            delay = max(delay, error.retry_after)
        if now + delay > self._deadline:
            raise error
        self._delay = min(self._delay * 2, MAX_DELAY)
        # Many clients of one server don't come back at the same moment.
        return delay + secrets.randbelow(1000) / 1000 * min(delay, 1.0) * 0.2
