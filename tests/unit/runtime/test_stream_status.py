"""The status of the stream, as `segue status` prints it."""

import json
import os
import subprocess
import sys
import time

import pytest

from jobs.runtime import stream_status

FIGURES = {"plays": 40, "rejected": 2, "repeated": 1, "repaired": 0, "latency_s": {"p50": 0.3, "p95": 0.8}}
# As Spark reports it: offsets as JSON, at the end of the last batch and the broker's latest.
PROGRESS = {
    "numInputRows": 10,
    "processedRowsPerSecond": 12.34,
    "batchDuration": 250,
    "sources": [{"endOffset": '{"plays": {"0": 7, "1": 3}}', "latestOffset": '{"plays": {"0": 12, "1": 3}}'}],
}


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "stream").mkdir()
    return tmp_path


def test_no_stream_has_no_status(lake):
    assert stream_status.format_status_line(lake) == ""
    assert not stream_status.is_alive(lake)


def test_lag_is_summed_over_the_partitions(lake):
    stream_status.write(lake, FIGURES, PROGRESS)
    assert (
        stream_status.format_status_line(lake)
        == "40 processed, 2 rejected, 5 waiting, p95 0.800 s from broker to list"
    )


@pytest.mark.parametrize("change", [{"pid": 0}, {"at": 0.0}])
def test_ended_or_silent_stream_is_not_alive(lake, change):
    stream_status.write(lake, FIGURES, None)
    assert stream_status.is_alive(lake)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file = lake / "stream" / "status.json"
    status = json.loads(file.read_text())
    assert status["pid"] == os.getpid() and status["at"] <= time.time()
    file.write_text(json.dumps(status | (change if "at" in change else {"pid": ended.pid})))
    assert not stream_status.is_alive(lake)


def test_stream_of_another_container_is_alive_while_it_writes(lake):
    """Its process id belongs to nobody here, or to somebody else."""
    stream_status.write(lake, FIGURES, None)
    file = lake / "stream" / "status.json"
    status = json.loads(file.read_text()) | {"host": "another", "pid": 2**22 + 1}
    file.write_text(json.dumps(status))
    assert stream_status.is_alive(lake)
    file.write_text(json.dumps(status | {"at": time.time() - 200}))
    assert not stream_status.is_alive(lake)
