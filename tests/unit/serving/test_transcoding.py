"""Transcoding over a real socket: no FFmpeg is left when the client leaves, and no more run than allowed."""

import asyncio
import socket
import threading
import time
from contextlib import closing

import numpy as np
import psutil
import pytest
import soundfile

from jobs.lake.schemas import TRACKS
from serving import app, http_server, transcoding
from tests import synthetic_lake

# Enough that FFmpeg is not done before the sockets' buffers are full.
SECONDS = 900


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transcoding") / "lake"
    lake = synthetic_lake.make(folder, seconds=0.1)
    (folder / "music").mkdir()
    path = folder / "music" / "long.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.2, SECONDS * 8_000), 8_000)
    rows = lake.read_arrow(TRACKS).to_pylist()
    rows[0] |= {"path": str(path), "duration_s": float(SECONDS)}
    synthetic_lake.write_rows(lake, TRACKS, rows)
    created = app.create_app(folder, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
    listening = http_server.bind("127.0.0.1", 0)
    made = http_server.build_server(created)
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]})
    thread.start()
    until(lambda: made.started)
    made.port, made.state, made.path = listening.getsockname()[1], created.app.state.app_state, str(path)
    made.secret = made.state.accounts.add_app_password("local", "x").secret
    yield made
    made.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def request(server, form="flac"):
    """Return a socket that asked for the long track from its fifth second on, and what came first."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    target = f"/rest/stream?apiKey={server.secret}&id=t00&format={form}&timeOffset=5"
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return closing(client), client.recv(4096)


def processes(server):
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if any(server.path in word for word in child.cmdline()):
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def test_ffmpeg_ends_when_the_client_leaves(server):
    open_client, answer = request(server)
    with open_client:
        assert answer.startswith(b"HTTP/1.1 200") and len(processes(server)) == 1
    until(lambda: not processes(server))
    until(lambda: not server.server_state.tasks)
    assert server.state.transcoding_slots._value == transcoding.MAX_PROCESSES


def test_number_of_processes_is_bounded(server, monkeypatch):
    monkeypatch.setattr(server.state, "transcoding_slots", asyncio.Semaphore(1))
    monkeypatch.setattr(transcoding, "_MAX_WAIT_S", 0.2)
    first, _ = request(server)
    with first:
        second, answer = request(server, "mp3")
        with second:
            assert answer.startswith(b"HTTP/1.1 503") and b"retry-after: 10" in answer.lower()
            assert len(processes(server)) == 1
    until(lambda: not processes(server))
    third, answer = request(server)
    with third:
        assert answer.startswith(b"HTTP/1.1 200")
    until(lambda: not processes(server))
