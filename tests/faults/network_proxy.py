"""A TCP proxy whose connection can be cut, silenced or slowed down."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.services.player import free_port

_CHUNK = 16 * 1024


class Proxy:
    """Forwards a port of 127.0.0.1 to another: open, cut, silent (forwards nothing) or slow."""

    def __init__(self, to: Callable[[], int]) -> None:
        self.mode, self.connections, self._to = "open", 0, to
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = free_port()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", self.port), self._loop
        ).result()

    def set(self, mode: str) -> None:
        """Set the mode; "cut" also aborts open connections."""
        self.mode = mode
        if mode == "cut":
            self._loop.call_soon_threadsafe(self._abort_all)

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.mode == "cut":
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to())
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._forward(reader, there_writer), self._forward(there_reader, writer))
        self._writers -= {writer, there_writer}
        return

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                while self.mode == "silent":
                    await asyncio.sleep(0.1)
                if self.mode == "slow":
                    await asyncio.sleep(0.25)
                writer.write(data)
                await writer.drain()
        writer.close()
