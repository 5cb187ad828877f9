"""The sockets: what a client may take of time and memory before its request is whole, and while it takes the answer.

uvicorn waits for ever for the rest of a request, and for a reader that has stopped reading.
"""

import asyncio
import json
import resource
import socket
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Seconds for a whole request, its body included: 2 MiB of listens over a slow line.
REQUEST_TIMEOUT_S = 60.0

# Seconds that a client may leave unread what it was sent. A browser that pauses asks for the rest again, by Range.
IDLE_TIMEOUT_S = 120.0

# Bytes of a request's line and headers; a playlist of 1,000 tracks comes in the line.
MAX_HEADER_BYTES = 64 * 1024

# Seconds that open streams get to end when the server is told to.
_GRACE_S = 2


# Files that may be open at once, where the machine lets us: with the usual 1,024 the thousandth stream would find none left.
_FILES = 65_536


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; OSError where the address is taken or none. What it accepts inherits its limits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    listening = socket.create_server((host, port), backlog=2048)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; the kernel ends what is not read in time
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(IDLE_TIMEOUT_S * 1000))
    return listening


def build_server(application: Any, *, behind_tls: bool = False) -> uvicorn.Server:
    """Return a server of the application; `behind_tls` believes a proxy on this machine who asks, and how."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            http=TimeoutProtocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=behind_tls,
            forwarded_allow_ips="127.0.0.1",
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


class TimeoutProtocol(HttpToolsProtocol):
    """uvicorn's connection, which is closed when a request takes longer than REQUEST_S or has a head over MOST_HEAD."""

    _timer: asyncio.TimerHandle | None = None
    _in_head, _head = True, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count the time."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a head that never ends is cut off."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEADER_BYTES:
                self._refuse(431, f"expected at most {MAX_HEADER_BYTES} bytes before the body, found more")

    def on_message_begin(self) -> None:
        """Begin to count time and bytes of another request."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._wait()

    def on_headers_complete(self) -> None:
        """The head is whole; the body has its own limit in guard.py."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole: the answer may take as long as it likes."""
        self._stop()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Turn away what is no HTTP."""
        self._refuse(400, "expected an HTTP request, found something else")

    def _wait(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(
            REQUEST_TIMEOUT_S, self._refuse, 408, f"expected a request within {REQUEST_TIMEOUT_S:g} s"
        )

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, detail: str) -> None:
        """Say why, unless an answer is on its way already, and close."""
        if self.transport.is_closing():
            return
        answered = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answered and not self.pipeline:
            phrase = HTTPStatus(status).phrase
            problem = {"type": "about:blank", "title": phrase, "status": status, "detail": detail}
            body = json.dumps(problem).encode()
            head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\n"
            head += (
                f"content-length: {len(body)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
