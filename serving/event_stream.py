"""Server-sent events: one hub hands what one thread has seen to every open stream.

Nobody polls on their own.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

# Seconds between two lines that say nothing but that the stream lives.
_HEARTBEAT_S = 15.0

# Messages a slow reader may be behind before the oldest are left out: each says all, so the latest is enough.
_MAX_QUEUED = 8


# The event's id, None for one that may come again, and the event as it goes over the wire.
_Message = tuple[str | None, bytes]


class EventHub:
    """The open streams of every listener. Used from the event loop alone, but for `tell`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._streams: dict[str, set[asyncio.Queue[_Message | None]]] = {}
        self.open_streams = 0

    def publish(self, user_id: str | None, kind: str, data: Any, event_id: str | None = None) -> None:
        """Send a message to one listener's streams, or (None) to all; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(
                self._publish, user_id, (event_id, sse_event(kind, data, event_id))
            )

    def _publish(self, user_id: str | None, message: _Message) -> None:
        everyone = self._streams.values() if user_id is None else [self._streams.get(user_id, set())]
        for queue in [queue for queues in everyone for queue in queues]:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    def close(self) -> None:
        """End every stream: the server is going."""
        for queue in [queue for queues in self._streams.values() for queue in queues]:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    async def stream(
        self,
        user_id: str,
        first_messages: list[bytes],
        *,
        last_event_id: str | None = None,
        is_allowed: Callable[[], bool] = lambda: True,
        on_open: Callable[[], None],
        on_close: Callable[[], None],
    ) -> AsyncIterator[bytes]:
        """Yield `first`, then what is told to the listener, until the reader goes or is `allowed` no more.

        Not again the event of the id `seen`. Who is still allowed is asked with each heartbeat.
        """
        queue: asyncio.Queue[_Message | None] = asyncio.Queue(_MAX_QUEUED)
        self._streams.setdefault(user_id, set()).add(queue)
        self.open_streams += 1
        on_open()
        try:
            yield b"retry: 1500\n\n"
            for text in first_messages:
                yield text
            while True:
                try:
                    told = await asyncio.wait_for(queue.get(), _HEARTBEAT_S)
                except TimeoutError:
                    if not is_allowed():
                        return
                    told = (None, b": still here\n\n")
                if told is None:
                    return
                if told[0] is None or told[0] != last_event_id:
                    last_event_id = told[0] or last_event_id
                    yield told[1]
        finally:
            on_close()
            self.open_streams -= 1
            self._streams[user_id].discard(queue)
            if not self._streams[user_id]:
                del self._streams[user_id]


def sse_event(kind: str, data: Any, event_id: str | None = None) -> bytes:
    """Return one event as it goes over the wire."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
