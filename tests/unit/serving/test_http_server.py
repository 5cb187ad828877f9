"""The server on a real socket against clients that are slow, greedy, rude or gone.

Turned away, and nothing left of them.
"""

import json
import logging
import resource
import socket
import threading
import time
from contextlib import closing

import psutil
import pytest

from serving import app, http_server
from tests import synthetic_lake

JSON = "Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """The server's port and its log, MongoDB and Kafka away.

    Requests have to be whole in 0.4 s, answers read in 1 s.
    """
    folder = tmp_path_factory.mktemp("sockets") / "lake"
    lake = synthetic_lake.make(folder)
    (lake.root / "audio" / "64k" / "t00.wav").write_bytes(
        bytes(20_000_000)
    )  # more than the kernel's buffers hold
    patch = pytest.MonkeyPatch()
    patch.setattr(http_server, "REQUEST_TIMEOUT_S", 0.4)
    patch.setattr(http_server, "IDLE_TIMEOUT_S", 1.0)
    listening = http_server.bind("127.0.0.1", 0)
    made = http_server.build_server(
        app.create_app(folder, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
    )
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]})
    thread.start()
    until(lambda: made.started)
    made.port, made.lines = listening.getsockname()[1], []
    handler = logging.Handler()
    handler.emit = lambda record: made.lines.append(logging.Formatter().format(record))
    logging.getLogger("uvicorn.error").addHandler(handler)
    yield made
    made.should_exit = True
    thread.join(20)
    patch.undo()
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def nothing_left(at):
    """After each test the server holds no connection, no task and no file more than before, and has logged no
    traceback.
    """
    files = psutil.Process().num_fds()
    yield
    until(lambda: not at.server_state.connections and not at.server_state.tasks)
    until(lambda: psutil.Process().num_fds() <= files)
    assert not [line for line in at.lines if "Traceback" in line]


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def connect(at):
    client = socket.create_connection(("127.0.0.1", at.port), timeout=20)
    return closing(client)


def rest(client):
    """Everything until the server closes."""
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def answer(answer):
    """Status and detail of a problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == int(head.split()[1])
    return problem["status"], problem["detail"]


@pytest.mark.parametrize(
    "begun",
    [
        "",
        "GET /api/st",
        "GET /api/state HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        f"POST /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}Content-Length: 50\r\n\r\n{{",
        f"POST /1/submit-listens HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}"
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST /rest/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nu=",
        "GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /api/he",
    ],
)
def test_request_that_never_ends_gets_408(at, begun):
    with connect(at) as client:
        client.sendall(begun.encode())
        answer = rest(client)
        last = answer[answer.rindex(b"HTTP/1.1 ") :]
        assert last.startswith(
            (b"HTTP/1.1 408", b"HTTP/1.1 401")
        )  # a client without a token need not be waited for


def test_slow_bytes_do_not_keep_a_connection(at):
    with connect(at) as client:
        client.sendall(b"GET /api/state HTTP/1.1\r\nX-Drip: ")
        with pytest.raises(OSError):  # any of these may be the first to find the connection closed
            for _ in range(200):
                time.sleep(0.05)
                client.sendall(b"x")


def test_endless_head_gets_431(at):
    with connect(at) as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * (http_server.MAX_HEADER_BYTES + 1)
        )
        assert answer(rest(client)) == (
            431,
            f"expected at most {http_server.MAX_HEADER_BYTES} bytes before the body, found more",
        )


@pytest.mark.parametrize(
    "rude", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_other_protocols_get_400(at, rude):
    with connect(at) as client:
        client.sendall(rude)
        assert answer(rest(client))[0] == 400


def test_body_of_ten_megabytes_gets_413(at):
    for path in ("/api/events", "/rest/ping", "/1/submit-listens", "/api/login"):
        with connect(at) as client:
            client.sendall(
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}Content-Length: 10000000\r\n\r\n".encode()
            )
            assert answer(rest(client))[0] == 413  # before a byte of it


def test_client_that_leaves_causes_no_error(at):
    for begun in (
        f"POST /1/submit-listens HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}Content-Length: 50\r\n\r\n{{",
        "POST /rest/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nu=",
        f"POST /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}Content-Length: 50\r\n\r\n{{",
        "GET /api/tracks/t00/audio HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /api/events/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ):
        with connect(at) as client:
            client.sendall(begun.encode())
            time.sleep(0.1)


def test_client_that_never_reads_is_disconnected(at):
    """Its kernel takes what fits into the buffers, then nothing more.

    See `nothing_left` for what is left of it.
    """
    with connect(at) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /api/tracks/t00/audio HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        until(lambda: at.server_state.tasks)
        until(lambda: not at.server_state.connections)


def test_limit_of_open_files_is_raised():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    http_server.bind("127.0.0.1", 0).close()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 65_536), hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_other_clients_are_served_meanwhile(at):
    with connect(at) as slow, connect(at) as client:
        slow.sendall(b"GET /api/st")
        client.sendall(b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert b'"ok":true' in rest(client)
