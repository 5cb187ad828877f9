"""Downloads from a server that interrupts, gives a wrong length, serves another file or ignores Range."""

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
    """Serves the archive with the fault that `server.fault` names, and records the requested ranges."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        fault = self.server.fault
        requested = self.headers.get("Range")
        self.server.ranges.append(requested)
        is_first = len(self.server.ranges) == 1
        data = self.server.data
        start = first_byte(requested) if requested and fault != "ignores range" else 0
        self.close_connection = True
        if fault == "error" or (fault == "error first" and is_first):
            self.send_error(503)
            return
        if fault == "not found":
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
            fault, len(rest)
        )
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        limit = promised
        if fault == "interrupts" or (is_first and fault == "ignores range"):
            limit = min(promised, 700_000)
        if fault == "interrupts once, then sends nothing":
            limit = 500_000 if is_first else 0
        self.wfile.write(rest[:limit])


def first_byte(requested):
    return int(requested.removeprefix("bytes=").rstrip("-"))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "RETRY_PAUSE_S", 0.001)
    small = dataclasses.replace(
        download.SUBSETS["small"], sha1=hashlib.sha1(ARCHIVE).hexdigest(), size=len(ARCHIVE)
    )
    monkeypatch.setitem(download.SUBSETS, "small", small)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.ranges = []
        httpd.fault = None
        httpd.data = ARCHIVE
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield httpd
        httpd.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path, capsys):
    """Return a function that runs the command and returns its exit status and its stderr."""

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
    "fault", [None, "interrupts", "promises more", "promises less", "ignores range", "error first"]
)
def test_download_survives_a_faulty_server(server, fetch, tmp_path, fault):
    server.fault = fault
    assert fetch()[0] == 0
    assert unpacked(tmp_path) == WHOLE


def test_download_resumes_at_the_last_byte(server, fetch, tmp_path):
    server.fault = "interrupts"
    fetch()
    starts = [first_byte(requested) for requested in server.ranges[1:]]
    assert server.ranges[0] is None and starts == list(range(700_000, len(ARCHIVE), 700_000))


def test_a_second_command_resumes(server, fetch, tmp_path):
    server.fault = "interrupts once, then sends nothing"
    status, stderr = fetch()
    assert status == 1
    assert "expected the rest after 500,000 bytes" in stderr
    assert "re-run the same command to resume" in stderr
    server.fault = None
    server.ranges = []
    assert fetch()[0] == 0
    assert server.ranges == ["bytes=500000-"]
    assert unpacked(tmp_path) == WHOLE


def test_pieces_of_two_files_are_downloaded_again(server, fetch, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fma_small.zip.part").write_bytes(b"PK of another file" * 1000)
    assert fetch()[0] == 0
    assert server.ranges == ["bytes=18000-", f"bytes={len(ARCHIVE)}-", None]
    assert unpacked(tmp_path) == WHOLE


def test_existing_folder_is_not_downloaded_again(server, fetch, tmp_path):
    fetch("--keep-archive")
    assert (tmp_path / "out" / "fma_small.zip").read_bytes() == ARCHIVE
    server.ranges = []
    assert fetch()[0] == 0
    assert server.ranges == []


def test_file_with_a_wrong_sha1_is_refused(server, fetch, tmp_path):
    server.data = ARCHIVE[:-100] + b"x" * 100
    status, stderr = fetch()
    assert status == 2 and "expected the SHA-1" in stderr and stderr.count("segue fma:") == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_web_page_instead_of_an_archive_is_refused(server, fetch, tmp_path):
    server.data = b"<html>please log in</html>" * 100
    status, stderr = fetch()
    assert status == 2 and "expected a ZIP archive, found '<html>please log in" in stderr
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    ("fault", "expected_status", "message"),
    [("not found", 2, "found HTTP 404"), ("error", 1, "503 Server Error")],
)
def test_http_error_sets_the_exit_status(server, fetch, fault, expected_status, message):
    server.fault = fault
    status, stderr = fetch()
    assert status == expected_status and message in stderr


def test_download_checks_free_space_first(server, fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: type("Usage", (), {"free": len(ARCHIVE)}))
    status, stderr = fetch()
    assert status == 1 and "GiB free for fma_small.zip and its unpacked files" in stderr
    assert not (tmp_path / "out" / "fma_small").exists()


def test_download_without_a_choice_is_bad_input(tmp_path, capsys):
    assert main(["fma", "download", "--out", str(tmp_path)]) == 2
    assert "expected --subset small, medium, large or full, or --metadata" in capsys.readouterr().err
