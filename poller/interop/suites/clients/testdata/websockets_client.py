# The client of the Python package websockets.
import asyncio
import sys

import websockets


async def main(url):
    async with websockets.connect(url) as ws:
        for message in ["hello", "κόσμε", b"\x00\x01", "x" * 100000, b"y" * 1000000]:
            await ws.send(message)
            assert await ws.recv() == message
        await (await ws.ping())
        print("echoed", flush=True)
        try:
            await ws.recv()
        except websockets.ConnectionClosed as end:
            print("closed", end.rcvd.code if end.rcvd else "without a code")


asyncio.run(main(sys.argv[1]))
