"""Servers that die, and programs that are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import Server

from ephemeral_shells import Client, Shell
from ephemeral_shells.errors import ConnectionFailedError

PROGRAM = """
import sys
from ephemeral_shells import Shell
with Shell.start(ttl=600) as shell:
    for chunk in shell.submit("echo started; sleep 600").stream():
        print(shell.id, flush=True)
"""


def test_a_stream_continues_after_a_restart_of_the_server(own_server: Server) -> None:
    with own_server.client() as client, Shell.start(client=client) as shell:
        job = shell.submit("for i in $(seq 40); do echo $i; sleep 0.05; done")
        chunks = job.stream()
        text = next(chunks).text
        own_server.kill()
        restart = threading.Thread(target=own_server.start)
        restart.start()
        text += "".join(chunk.text for chunk in chunks)
        restart.join()
        assert text == "".join(f"{i}\n" for i in range(1, 41))
        assert job.wait().ok


def test_a_server_that_stays_away_ends_a_stream_with_an_error(own_server: Server) -> None:
    with own_server.client(retry_for=0.5) as client:
        shell = Shell.start(client=client)
        chunks = shell.submit("echo started; sleep 600").stream()
        assert next(chunks).text == "started\n"
        own_server.kill()
        with pytest.raises(ConnectionFailedError, match="check that the server is running"):
            list(chunks)
        own_server.start()


def test_an_error_of_the_block_is_raised_although_the_shell_cannot_be_stopped(
    own_server: Server,
) -> None:
    with own_server.client(retry_for=0.5) as client:
        with pytest.raises(ZeroDivisionError), Shell.start(client=client):
            own_server.kill()
            raise ZeroDivisionError
        own_server.start()


def test_ctrl_c_stops_the_shell(local: Server, client: Client) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    assert child.stdout is not None
    shell = Shell.attach(child.stdout.readline().strip(), client=client)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=30)
    assert "KeyboardInterrupt" in error
    assert shell.info()["status"] in ("stopping", "stopped")
