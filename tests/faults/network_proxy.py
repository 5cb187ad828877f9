"""A network that can be cut."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.services.player import free_port

_CHUNK = 16 * 1024


class Proxy:
    """A port of 127.0.0.1 that leads to another one: open, cut, silent (takes and gives nothing), or slow."""

    def __init__(self, to: Callable[[], int]) -> None:
        self.mode, self.met, self._to = "open", 0, to
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = free_port()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._meet, "127.0.0.1", self.port), self._loop
        ).result()

    def set(self, mode: str) -> None:
        """Change what the network is like; whatever is connected is cut off by "cut"."""
        self.mode = mode
        if mode == "cut":
            self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self._writers])

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        if self.mode == "cut":
            return writer.transport.abort()
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to())
        except OSError:
            return writer.transport.abort()
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        self._writers -= {writer, there_writer}
        return None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                while self.mode == "silent":
                    await asyncio.sleep(0.1)
                if self.mode == "slow":
                    await asyncio.sleep(0.25)
                writer.write(data)
                await writer.drain()
        writer.close()
