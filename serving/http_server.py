"""The HTTP server: uvicorn, with limits on the time and memory a client may take.

uvicorn itself waits for ever for the rest of a request, and for a client that has stopped reading.
"""

import asyncio
import json
import resource
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.problems import MEDIA_TYPE, problem

# Time limit of a whole request, its body included: 2 MiB of listens over a slow line.
REQUEST_TIMEOUT_S = 60.0

# Time limit for reading what was sent. A browser that pauses requests the rest again, by Range.
IDLE_TIMEOUT_S = 120.0

# Limit of a request's line and headers; a queue of 5,000 tracks may be sent in the line.
MAX_HEADER_BYTES = 256 * 1024

# Seconds that open streams get to end at shutdown.
_GRACE_S = 2


# Open files, if the machine allows: with the usual 1,024 the thousandth event stream would fail.
_MAX_OPEN_FILES = 65_536


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket, whose limits accepted connections inherit.

    Raises OSError for an address that is in use or invalid.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    with suppress(ValueError, OSError):  # macOS has a second limit, which can be lower
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    listening = socket.create_server((host, port), backlog=2048)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: the kernel closes connections not read in time
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(IDLE_TIMEOUT_S * 1000))
    return listening


def build_server(application: Any, *, behind_tls: bool = False) -> uvicorn.Server:
    """Return a server of the application; `behind_tls` trusts the X-Forwarded headers of a local proxy."""
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
    """uvicorn's connection, closed if a request exceeds REQUEST_TIMEOUT_S or its head MAX_HEADER_BYTES.

    Reads the private attributes `cycle` and `pipeline` of uvicorn's class;
    tests/unit/serving/test_http_server.py fails if an upgrade removes them.
    """

    _timer: asyncio.TimerHandle | None = None
    _in_head, _head = True, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process received bytes; refuse a head that is too long."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEADER_BYTES:
                self._refuse(431, f"expected at most {MAX_HEADER_BYTES} bytes before the body, found more")

    def on_message_begin(self) -> None:
        """Start the timer and the byte count of another request."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._start_timer()

    def on_headers_complete(self) -> None:
        """The head is complete; the body has its own limit in middleware.py."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete: the answer has no time limit."""
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(400, "expected an HTTP request, found something else")

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(
            REQUEST_TIMEOUT_S, self._refuse, 408, f"expected a request within {REQUEST_TIMEOUT_S:g} s"
        )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, detail: str) -> None:
        """Send a problem, unless an answer has been started, and close the connection."""
        if self.transport.is_closing():
            return
        answered = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answered and not self.pipeline:
            body = json.dumps(problem(status, detail)).encode()
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            head += (
                f"content-length: {len(body)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
