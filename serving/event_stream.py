"""Server-sent events: one hub sends each message to all open streams of a user."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

# Seconds between two heartbeats of an idle stream.
_HEARTBEAT_S = 15.0

# Messages queued for a slow reader before the oldest are dropped: each is complete, so the latest is enough.
_MAX_QUEUED = 8


# Event id (None for one that may repeat), and the event in wire format.
_Message = tuple[str | None, bytes]


class EventHub:
    """All open streams by user. Use it from the event loop, except `publish`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._streams: dict[str, set[asyncio.Queue[_Message | None]]] = {}
        self.open_streams = 0

    def publish(self, user_id: str | None, kind: str, data: Any, event_id: str | None = None) -> None:
        """Send a message to one user's streams, or to all for None; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(
                self._publish, user_id, (event_id, sse_event(kind, data, event_id))
            )

    def _publish(self, user_id: str | None, message: _Message) -> None:
        queues_of_users = self._streams.values() if user_id is None else [self._streams.get(user_id, set())]
        for queue in [queue for queues in queues_of_users for queue in queues]:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    def close(self) -> None:
        """End every stream, at shutdown."""
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
        """Yield `first_messages`, then messages to the user, until the client leaves or `is_allowed` is
        false.

        The event `last_event_id` is not sent again. `is_allowed` is checked at each heartbeat.
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
                    message = await asyncio.wait_for(queue.get(), _HEARTBEAT_S)
                except TimeoutError:
                    if not is_allowed():
                        return
                    message = (None, b": still here\n\n")
                if message is None:
                    return
                if message[0] is None or message[0] != last_event_id:
                    last_event_id = message[0] or last_event_id
                    yield message[1]
        finally:
            on_close()
            self.open_streams -= 1
            self._streams[user_id].discard(queue)
            if not self._streams[user_id]:
                del self._streams[user_id]


def sse_event(kind: str, data: Any, event_id: str | None = None) -> bytes:
    """Return one event in wire format."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
