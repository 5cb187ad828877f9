"""How the stream is.

A small file in the lake that it rewrites every two seconds, as lines for people and for Prometheus.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

# Seconds without a word after which the stream is taken for ended; a batch of a backlog may take some.
_SILENT_S = 120


def write(lake: Path, figures: dict[str, Any], progress: dict[str, Any] | None) -> None:
    """Keep the stream's own figures and Spark's.

    Rows per second, batch time, and how many messages still wait.
    """
    file = lake / "stream" / "status.json"
    scratch = file.with_suffix(".new")
    scratch.write_text(json.dumps({"pid": os.getpid(), "at": time.time(), **figures, **_of_spark(progress)}))
    scratch.replace(file)


def _of_spark(progress: Any) -> dict[str, Any]:
    if not progress:
        return {"lag": 0, "events_per_s": 0.0, "batch_ms": 0}
    lag = 0
    for source in progress["sources"]:
        ends = [_offsets(source.get(name)) for name in ("latestOffset", "endOffset")]
        lag += sum(max(0, latest - ends[1].get(place, latest)) for place, latest in ends[0].items())
    rate = float(progress["processedRowsPerSecond"] or 0.0) if progress["numInputRows"] else 0.0
    return {"lag": lag, "events_per_s": round(rate, 1), "batch_ms": int(progress["batchDuration"] or 0)}


def _offsets(found: Any) -> dict[str, int]:
    """Return the offsets of {"plays": {"0": 7}}, which Spark gives as text or as it is."""
    found = (json.loads(found) if isinstance(found, str) else found) or {}
    return {f"{t}-{p}": int(offset) for t, parts in found.items() for p, offset in parts.items()}


def read(lake: Path) -> dict[str, Any] | None:
    """Return what the stream last said; None where it never ran."""
    with suppress(OSError, ValueError):
        found = dict(json.loads((lake / "stream" / "status.json").read_text()))
        return found if isinstance(found.get("at"), float) else None  # else of another version of Segue
    return None


def is_alive(lake: Path) -> bool:
    """Tell whether the stream runs and has spoken of late."""
    found = read(lake)
    # Ahead of now: said before the clock was put back.
    if found is None or abs(time.time() - found["at"]) > _SILENT_S:
        return False
    try:
        os.kill(found["pid"], 0)
    except OSError:
        return False
    return True


def format_status_line(lake: Path) -> str:
    """Return one line for `segue status`; empty where the stream never ran."""
    found = read(lake)
    if found is None:
        return ""
    latency = found["latency_s"].get("p95")
    within = f", p95 {latency:.3f} s from broker to list" if latency is not None else ""
    return f"{found['plays']} heard, {found['rejected']} rejected, {found['lag']} waiting{within}"


def prometheus(lake: Path) -> str:
    """Return the figures in Prometheus' text format; empty where the stream never ran."""
    found = read(lake)
    if found is None:
        return ""
    of = {
        "segue_stream_plays_total": ("counter", "plays heard since the stream's start", found["plays"]),
        "segue_stream_rejected_total": ("counter", "messages that were no plays", found["rejected"]),
        "segue_stream_repeated_total": ("counter", "plays that came twice", found["repeated"]),
        "segue_stream_repaired_total": ("counter", "profiles made again from PLAYS", found["repaired"]),
        "segue_stream_lag": ("gauge", "messages waiting in Kafka", found["lag"]),
        "segue_stream_events_per_second": (
            "gauge",
            "plays of the last batch per second",
            found["events_per_s"],
        ),
        "segue_stream_batch_seconds": ("gauge", "duration of the last batch", found["batch_ms"] / 1000),
        "segue_stream_up": ("gauge", "1 while the stream runs", int(is_alive(lake))),
    }
    lines = []
    for name, (kind, meaning, value) in of.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", f"{name} {value}"]
    name = "segue_stream_latency_seconds"
    lines += [f"# HELP {name} from the broker to the lists in the store", f"# TYPE {name} gauge"]
    lines += [f'{name}{{quantile="0.{q[1:]}"}} {value}' for q, value in found["latency_s"].items()]
    return "\n".join(lines) + "\n"
