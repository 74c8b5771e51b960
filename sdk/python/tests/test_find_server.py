"""Which server is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Server

from ephemeral_shells import Client, _server
from ephemeral_shells.errors import ServerNotFoundError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EPHEMERAL_URL", "EPHEMERAL_TOKEN", "EPHEMERAL_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_the_running_server_is_found(server: Server) -> None:
    address = _server.find(None, None, server.data_dir)
    assert address == (server.url, server.token)
    assert server.token not in repr(address)


def test_the_environment_selects_another_one(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPHEMERAL_URL", "https://example.com/")
    monkeypatch.setenv("EPHEMERAL_TOKEN", "other")
    assert _server.find(None, None, server.data_dir) == ("https://example.com", "other")
    assert _server.find("http://a", "b", None) == ("http://a", "b")


def test_a_server_that_was_killed_is_not_found(own_server: Server) -> None:
    own_server.kill()
    with pytest.raises(ServerNotFoundError, match="ephemeral up"):
        Client(data_dir=own_server.data_dir)
    own_server.start()


def test_without_a_server_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ServerNotFoundError, match=r"ephemeral up.*EPHEMERAL_URL"):
        Client(data_dir=tmp_path)
    with pytest.raises(ServerNotFoundError, match="EPHEMERAL_TOKEN"):
        Client("http://127.0.0.1:1", data_dir=tmp_path)


def test_the_token_of_the_data_directory_goes_to_its_own_server_only(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert _server.find("http://localhost:1/", None, tmp_path) == ("http://localhost:1", "secret")
    with pytest.raises(ServerNotFoundError, match=r"no token for https://example\.com"):
        _server.find("https://example.com", None, tmp_path)
    (tmp_path / "server.json").write_text('{"url": "https://example.com"}')
    assert _server.find("https://example.com/", None, tmp_path).token == "secret"
    with pytest.raises(ServerNotFoundError):
        _server.find("http://example.com", None, tmp_path)


def test_a_token_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(ServerNotFoundError) as caught:
        Client("http://127.0.0.1:1", "se cret\n")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("stream_url", "url", "expected"),
    [
        ("ws://127.0.0.1:8787/v1/c/x?r=p", "https://tunnel/base", "wss://tunnel/base/v1/c/x?r=p"),
        ("ws://[::1]:8787/v1/c/x", "http://10.0.0.1:80", "ws://10.0.0.1:80/v1/c/x"),
        ("wss://ssm.example.com/v1/x?r=p", "https://api", "wss://ssm.example.com/v1/x?r=p"),
    ],
)
def test_a_data_channel_is_reached_like_the_server(
    stream_url: str, url: str, expected: str
) -> None:
    assert _server.reachable(stream_url, url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com", True),
        ("http://example.com", False),
        ("https://localhost:1", False),
        ("https://127.0.0.1", False),
        ("https://[::1]", False),
    ],
)
def test_a_proxy_is_used_for_https_to_other_machines_only(url: str, expected: bool) -> None:
    assert _server.may_use_proxy(url) is expected
