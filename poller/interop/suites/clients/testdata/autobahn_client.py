# The client of Autobahn|Python.
import asyncio
import sys
from urllib.parse import urlparse

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol

MESSAGES = ["hello", "κόσμε", b"\x00\x01", "x" * 100000, b"y" * 1000000]


class Client(WebSocketClientProtocol):
    def onOpen(self):
        self.left = list(MESSAGES)
        self.say()

    def say(self):
        message = self.left[0]
        binary = isinstance(message, bytes)
        self.sendMessage(message if binary else message.encode(), isBinary=binary)

    def onMessage(self, payload, isBinary):
        sent = self.left.pop(0)
        assert (payload if isBinary else payload.decode()) == sent
        if self.left:
            self.say()
        else:
            print("echoed", flush=True)

    def onClose(self, wasClean, code, reason):
        print("closed", code if wasClean else "not clean: %s %s" % (code, reason), flush=True)
        loop.stop()


url = sys.argv[1]
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
factory = WebSocketClientFactory(url, loop=loop)
factory.protocol = Client
where = urlparse(url)
loop.run_until_complete(loop.create_connection(factory, where.hostname, where.port))
loop.run_forever()
