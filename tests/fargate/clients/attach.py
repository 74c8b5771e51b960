"""Attaches to a session with pyssm-client: sends lines, prints the output, ends with the session.

The first line of standard input is the session of ExecuteCommand; the other lines are sent.
"""

import asyncio
import json
import sys

from pyssm_client.communicator.data_channel import SessionDataChannel
from pyssm_client.communicator.utils import create_websocket_config


def show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


async def main() -> None:
    session = json.loads(sys.stdin.readline())
    config = create_websocket_config(session["streamUrl"], session["tokenValue"])
    channel = SessionDataChannel(config)
    closed = asyncio.Event()
    channel.set_input_handler(show)
    channel.set_closed_handler(closed.set)
    if not await channel.open():
        sys.exit("the channel did not open")
    for line in sys.stdin:
        await channel.send_input_data(line.replace("\n", "\r").encode())
    await asyncio.wait_for(closed.wait(), timeout=30)
    await channel.close()


asyncio.run(main())
