"""Downloads from a server that breaks off, lies about the length, serves a wrong file, ignores Range."""

import dataclasses
import hashlib
import http.server
import io
import threading
import zipfile

import numpy as np
import pytest

from jobs.cli import main
from jobs.fma import archive, download

NOISE = np.random.default_rng(5).bytes(3_000_000)


def archive_bytes():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("fma_small/000/000002.mp3", NOISE)
        file.writestr("fma_small/README.txt", "read me")
    return data.getvalue()


ARCHIVE = archive_bytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the archive as `server.manner` says, and keeps what was asked for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        manner, asked = self.server.manner, self.headers.get("Range")
        self.server.asked.append(asked)
        first = len(self.server.asked) == 1
        data = self.server.data
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and manner != "ignores range" else 0
        self.close_connection = True
        if manner == "error" or (manner == "error first" and first):
            self.send_error(503)
            return
        if manner == "not found":
            self.send_error(404)
            return
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = data[start:]
        promised = {"promises more": len(rest) + 1000, "promises less": min(len(rest), 1_000_000)}.get(
            manner, len(rest)
        )
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        sent = rest[
            : min(
                promised,
                700_000 if manner == "breaks off" or (first and manner == "ignores range") else promised,
            )
        ]
        if manner == "breaks at once" and not first:
            sent = b""
        elif manner == "breaks at once":
            sent = rest[:500_000]
        self.wfile.write(sent)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "RETRY_PAUSE_S", 0.001)
    small = dataclasses.replace(
        download.SUBSETS["small"], sha1=hashlib.sha1(ARCHIVE).hexdigest(), size=len(ARCHIVE)
    )
    monkeypatch.setitem(download.SUBSETS, "small", small)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.asked, made.manner, made.data = [], "well", ARCHIVE
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path, capsys):
    """Return a function that runs the command and returns its exit status and what it said on stderr."""

    def run(*more):
        url = f"http://127.0.0.1:{server.server_port}/fma"
        status = main(
            ["fma", "download", "--subset", "small", "--out", str(tmp_path / "out"), "--base-url", url, *more]
        )
        return status, capsys.readouterr().err

    return run


def unpacked(tmp_path):
    out = tmp_path / "out"
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    return names, (out / "fma_small/000/000002.mp3").read_bytes() == NOISE


WHOLE = ({"fma_small/000/000002.mp3", "fma_small/README.txt"}, True)


@pytest.mark.parametrize(
    "manner", ["well", "breaks off", "promises more", "promises less", "ignores range", "error first"]
)
def test_the_archive_arrives_whole(server, fetch, tmp_path, manner):
    server.manner = manner
    assert fetch()[0] == 0
    assert unpacked(tmp_path) == WHOLE


def test_it_goes_on_where_it_broke_off(server, fetch, tmp_path):
    server.manner = "breaks off"
    fetch()
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.asked[1:]]
    assert server.asked[0] is None and starts == list(range(700_000, len(ARCHIVE), 700_000))


def test_a_second_command_goes_on(server, fetch, tmp_path):
    server.manner = "breaks at once"
    status, said = fetch()
    assert (
        status == 1 and "expected the rest after 500,000 bytes" in said and "the same command goes on" in said
    )
    server.manner, server.asked = "well", []
    assert fetch()[0] == 0
    assert server.asked == ["bytes=500000-"]
    assert unpacked(tmp_path) == WHOLE


def test_pieces_of_two_files_are_started_again(server, fetch, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fma_small.zip.part").write_bytes(b"PK of another file" * 1000)
    assert fetch()[0] == 0
    assert server.asked == ["bytes=18000-", f"bytes={len(ARCHIVE)}-", None]
    assert unpacked(tmp_path) == WHOLE


def test_what_is_there_is_not_asked_for_again(server, fetch, tmp_path):
    fetch("--keep-archive")
    assert (tmp_path / "out" / "fma_small.zip").read_bytes() == ARCHIVE
    server.asked = []
    assert fetch()[0] == 0
    assert server.asked == []


def test_a_wrong_file_is_refused(server, fetch, tmp_path):
    server.data = ARCHIVE[:-100] + b"x" * 100
    status, said = fetch()
    assert status == 2 and "expected the SHA-1" in said and said.count("segue fma:") == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_page_instead_of_an_archive_is_refused_at_once(server, fetch, tmp_path):
    server.data = b"<html>please log in</html>" * 100
    status, said = fetch()
    assert status == 2 and "expected a ZIP archive, found '<html>please log in" in said
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("manner", "expected", "message"), [("not found", 2, "found HTTP 404"), ("error", 1, "503 Server Error")]
)
def test_a_server_that_has_nothing(server, fetch, manner, expected, message):
    server.manner = manner
    status, said = fetch()
    assert status == expected and message in said


def test_the_disk_is_looked_at_first(server, fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: type("Usage", (), {"free": len(ARCHIVE)}))
    status, said = fetch()
    assert status == 1 and "GiB free for fma_small.zip and what is in it" in said
    assert not (tmp_path / "out" / "fma_small").exists()


def test_nothing_asked_for_is_bad_input(tmp_path, capsys):
    assert main(["fma", "download", "--out", str(tmp_path)]) == 2
    assert "expected --subset small, medium, large or full, or --metadata" in capsys.readouterr().err
