"""Selects the server to use, and the token for it, as the command line does."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from .errors import ServerNotFoundError

# Time within which a server on this machine must accept a connection. Seconds.
_CONNECT_TIMEOUT = 2.0


class Address(NamedTuple):
    url: str
    """Without a slash at its end."""
    token: str

    def __repr__(self) -> str:
        return f"Address(url={self.url!r})"


def find(url: str | None, token: str | None, data_dir: str | os.PathLike[str] | None) -> Address:
    """The given server, else that of EPHEMERAL_URL, else the one that runs on this machine."""
    url = url or os.environ.get("EPHEMERAL_URL") or None
    token = token or os.environ.get("EPHEMERAL_TOKEN") or None
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        # The error of the HTTP client would show it.
        raise ServerNotFoundError("the token has spaces or characters that no token has")
    directory = Path(data_dir or os.environ.get("EPHEMERAL_DATA_DIR") or _default_data_dir())
    if url is not None:
        if token is None and _is_own(url, directory):
            token = _stored_token(directory)
        if token is None:
            raise ServerNotFoundError(
                f"no token for {url}; pass token=, or set EPHEMERAL_TOKEN to the token from the "
                "operator of the server"
            )
        return Address(url.rstrip("/"), token)
    url = _running(directory)
    if url is None:
        raise ServerNotFoundError(
            f"no server runs on this machine with the data directory {directory}; start one with "
            "`ephemeral up`, or pass url= and token=, or set EPHEMERAL_URL and EPHEMERAL_TOKEN"
        )
    token = token or _stored_token(directory)
    if token is None:
        raise ServerNotFoundError(
            f"no readable token in {directory}; set EPHEMERAL_TOKEN, or run as the user who runs "
            "the server"
        )
    return Address(url, token)


def reachable(stream_url: str, url: str) -> str:
    """The URL of a data channel, as this program reaches the server: a server that listens on all
    addresses, or behind a tunnel, does not know by which one."""
    parts = urlsplit(stream_url)
    if parts.hostname not in ("0.0.0.0", "127.0.0.1", "::", "::1", "localhost"):
        return stream_url
    query = f"?{parts.query}" if parts.query else ""
    return url.replace("http", "ws", 1) + parts.path + query


def may_use_proxy(url: str) -> bool:
    """Whether a proxy of the environment may be used. That of a plain http URL would receive the
    token unencrypted, and none reaches the loopback interface of this machine."""
    return urlsplit(url).scheme == "https" and not _is_loopback(url)


def _is_loopback(url: str) -> bool:
    """Whether the URL names this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _is_own(url: str, directory: Path) -> bool:
    """Whether the URL is that of the server with this data directory, whose token goes to no other
    machine."""
    if _is_loopback(url):
        return True
    recorded, wanted = urlsplit(_recorded_url(directory) or ""), urlsplit(url)
    return (recorded.scheme, recorded.netloc) == (wanted.scheme, wanted.netloc)


def _default_data_dir() -> Path:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/ephemeral")
    data_home = os.environ.get("XDG_DATA_HOME")
    if data_home is not None:
        return Path(data_home, "ephemeral")
    home = os.environ.get("HOME")
    return (
        Path(home, ".local/share/ephemeral") if home else Path(tempfile.gettempdir(), "ephemeral")
    )


def _recorded_url(directory: Path) -> str | None:
    """The URL that the last server with this data directory has left there."""
    try:
        record: Any = json.loads((directory / "server.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict):
        return None
    return str(cast("dict[str, Any]", record).get("url", "")) or None


def _running(directory: Path) -> str | None:
    """The URL of the running server. A server that was killed leaves its file behind."""
    url = _recorded_url(directory)
    if url is None:
        return None
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), _CONNECT_TIMEOUT).close()
    except OSError:
        return None
    return url.rstrip("/")


def _stored_token(directory: Path) -> str | None:
    try:
        return (directory / "token").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
