"""The stream serves its own metrics; tests/unit/serving/test_metrics.py has every value."""

import socket
import urllib.request

import pytest

from jobs.errors import InputError
from jobs.runtime import stream_metrics, stream_status


def test_stream_serves_its_metrics(tmp_path):
    (tmp_path / "stream").mkdir()
    figures = {"plays": 40, "rejected": 2, "repeated": 1, "repaired": 3, "latency_s": {"p95": 0.8}}
    stream_status.write(tmp_path, figures, None)
    port = stream_metrics.serve("127.0.0.1:0", tmp_path)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
        text = response.read().decode()
    assert "segue_stream_plays_total 40.0" in text and "process_resident_memory_bytes" in text


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:{taken}"])
def test_address_that_cannot_be_used_is_bad_input(tmp_path, address):
    expected = pytest.raises(InputError, match="--metrics: expected a free host:port, found")
    with socket.create_server(("127.0.0.1", 0)) as taken, expected:
        stream_metrics.serve(address.format(taken=taken.getsockname()[1]), tmp_path)
