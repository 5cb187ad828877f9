"""An S3 server (moto), and a proxy before it that injects faults."""

import http.client
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

BUCKET = "segue-tests"

_HOP_HEADERS = ("connection", "transfer-encoding", "content-length")


@dataclass
class Faults:
    """What the proxy does to the next requests.

    Attributes
    ----------
    unavailable
        Requests that are answered 503 without reaching the store; -1: all.
    lost
        Puts that reach the store, and whose answer is lost.
    refused
        Requests that are answered 403, as with wrong keys.
    silent
        Requests that are neither passed on nor answered, until the client gives up.
    only
        A part of the path: other requests pass.
    """

    unavailable: int = 0
    lost: int = 0
    refused: int = 0
    silent: int = 0
    only: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)

    def take(self, name: str, path: str) -> bool:
        """Return whether a fault applies to a request, and count it."""
        left: int = getattr(self, name)
        if left == 0 or self.only not in path:
            return False
        setattr(self, name, left - 1 if left > 0 else left)
        return True


class _Handler(BaseHTTPRequestHandler):
    """Passes one client's requests on to `address`, or does what `faults` say."""

    protocol_version = "HTTP/1.1"
    address: str
    faults: Faults

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):
            super().handle_one_request()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.faults.requests.append((self.command, self.path))
        if self.faults.take("unavailable", self.path):
            self._answer(503, [], b"<Error><Code>SlowDown</Code></Error>")
        elif self.faults.take("refused", self.path):
            self._answer(403, [], b"<Error><Code>InvalidAccessKeyId</Code></Error>")
        elif self.faults.take("silent", self.path):
            time.sleep(5)
            self.close_connection = True
        else:
            connection = http.client.HTTPConnection(self.address, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if self.command == "PUT" and self.faults.take("lost", self.path):
                self.close_connection = True
            else:
                self._answer(answer.status, answer.getheaders(), content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - http.server's names

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            if name.lower() not in _HOP_HEADERS:
                self.send_header(name, value)
        self.send_header("content-length", length)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class FaultProxy:
    """Passes HTTP requests on to a store at `host:port` of this machine."""

    def __init__(self, address: str) -> None:
        self.faults = Faults()
        handler = type("Handler", (_Handler,), {"address": address, "faults": self.faults})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Accept no more requests."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def moto_server() -> Iterator[str]:
    """Run an S3 server, in memory, during the block; yield its address, host:port."""
    from moto.server import ThreadedMotoServer  # a second

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()


def client_environment(port: int) -> dict[str, str]:
    """Return the environment of a client of the store at a port of this machine.

    SEGUE_TEST_STORE_KEYS has the keys of another server than moto, as in id:secret.
    """
    key, _, secret = os.environ.get("SEGUE_TEST_STORE_KEYS", "test:secret-of-the-test").partition(":")
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def served_store() -> Iterator[FaultProxy]:
    """Run a store with an empty bucket behind a proxy; the environment names it during the block.

    SEGUE_TEST_STORE names another server than moto, as host:port; it must have the bucket already.
    """
    address = os.environ.get("SEGUE_TEST_STORE")
    if address:
        with _proxied(address) as proxy:
            yield proxy
        return
    with moto_server() as moto:
        connection = http.client.HTTPConnection(moto, timeout=60)
        connection.request("PUT", f"/{BUCKET}")
        assert connection.getresponse().status == 200
        with _proxied(moto) as proxy:
            yield proxy


@contextmanager
def _proxied(address: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(address)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in client_environment(proxy.port).items():
            patch.setenv(name, value)
        yield proxy
    proxy.close()
