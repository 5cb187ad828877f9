"""The status of the stream: a small file in the lake that the stream rewrites every two seconds."""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobs import paths

# A stream that has been silent for this long counts as ended; a batch of a backlog may take a while.
_MAX_AGE_S = 120


def write(lake: Path, stream: dict[str, Any], progress: Any) -> None:
    """Write the status.

    Parameters
    ----------
    lake
        The lake's folder.
    stream
        Counts and latencies of the batch handler.
    progress
        The last progress report of Spark's query, or None before the first batch.
    """
    process = {"host": socket.gethostname(), "pid": os.getpid()}
    status = {**process, "at": time.time(), **stream, **_query_status(progress)}
    paths.atomic_write(lake / "stream" / "status.json", json.dumps(status), fsync=False)


def _query_status(progress: Any) -> dict[str, Any]:
    """Return the lag (messages left in Kafka), and rate and duration of the last batch."""
    if not progress:
        return {"lag": 0, "events_per_s": 0.0, "batch_ms": 0}
    lag = 0
    for source in progress["sources"]:
        latest_offsets = _offsets(source.get("latestOffset"))
        end_offsets = _offsets(source.get("endOffset"))
        for partition, latest in latest_offsets.items():
            lag += max(0, latest - end_offsets.get(partition, latest))
    rate = float(progress["processedRowsPerSecond"] or 0.0) if progress["numInputRows"] else 0.0
    return {"lag": lag, "events_per_s": round(rate, 1), "batch_ms": int(progress["batchDuration"] or 0)}


def _offsets(source_offsets: Any) -> dict[str, int]:
    """Return {"plays-0": 7} for {"plays": {"0": 7}}, which Spark gives as JSON text or parsed."""
    parsed = json.loads(source_offsets) if isinstance(source_offsets, str) else source_offsets
    offsets = {}
    for topic, partitions in (parsed or {}).items():
        for partition, offset in partitions.items():
            offsets[f"{topic}-{partition}"] = int(offset)
    return offsets


def read(lake: Path) -> dict[str, Any] | None:
    """Return the status, or None if the stream never ran."""
    with suppress(OSError, ValueError):
        status = dict(json.loads((lake / "stream" / "status.json").read_text()))
        # Without this field it is of another version of Segue.
        return status if isinstance(status.get("at"), float) else None
    return None


def is_alive(lake: Path) -> bool:
    """Return whether the stream has written its status recently and, on this host, its process runs.

    A process id of another machine or container means nothing here.
    """
    status = read(lake)
    # The absolute difference: a time ahead of now was written before the clock was set back.
    if status is None or abs(time.time() - status["at"]) > _MAX_AGE_S:
        return False
    if status.get("host", socket.gethostname()) != socket.gethostname():
        return True
    try:
        os.kill(status["pid"], 0)
    except OSError:
        return False
    return True


def format_status_line(lake: Path) -> str:
    """Return one line for `segue status`; empty if the stream never ran."""
    status = read(lake)
    if status is None:
        return ""
    p95 = status["latency_s"].get("p95")
    latency = f", p95 {p95:.3f} s from broker to list" if p95 is not None else ""
    return f"{status['plays']} processed, {status['rejected']} rejected, {status['lag']} waiting{latency}"
