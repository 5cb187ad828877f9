"""Prometheus metrics of the stream, from its status file; `segue stream --metrics` serves them itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jobs.errors import InputError
from jobs.runtime import stream_status


class StreamCollector(Collector):
    """The stream's figures, from the status file that it rewrites every two seconds; none if it never ran."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of the stream."""
        status = stream_status.read(self._lake)
        if status is None:
            return
        for name, meaning, value in (
            ("plays", "plays processed since the stream's start", status["plays"]),
            ("rejected", "messages rejected as invalid since the stream's start", status["rejected"]),
            ("duplicate_events", "events that had been processed before", status["repeated"]),
            ("reconciled_profiles", "profiles rebuilt from PLAYS", status["repaired"]),
        ):
            yield CounterMetricFamily(f"segue_stream_{name}", meaning, value=value)
        for name, meaning, value in (
            ("lag", "messages waiting in Kafka", status["lag"]),
            ("events_per_second", "plays per second in the last batch", status["events_per_s"]),
            ("batch_seconds", "duration of the last batch", status["batch_ms"] / 1000),
            ("up", "1 while the stream runs", int(stream_status.is_alive(self._lake))),
        ):
            yield GaugeMetricFamily(f"segue_stream_{name}", meaning, value=value)
        latency = Metric(
            "segue_stream_latency_seconds", "from the broker to the lists in the store", "summary"
        )
        for quantile, value in status["latency_s"].items():
            latency.add_sample(latency.name, {"quantile": f"0.{quantile[1:]}"}, value)
        yield latency


def registry(lake: Path) -> CollectorRegistry:
    """Return the metrics of the stream and of its process."""
    metrics = CollectorRegistry()
    metrics.register(StreamCollector(lake))
    ProcessCollector(registry=metrics)
    return metrics


def serve(address: str, lake: Path) -> int:
    """Serve the metrics at `host:port` from a thread of this process; return the port.

    Raises InputError if the address is none, or taken. With port 0 the system chooses one.
    """
    host, _, port = address.rpartition(":")
    try:
        server, _ = start_http_server(int(port), host or "127.0.0.1", registry(lake))
    except (OSError, OverflowError, ValueError) as error:
        raise InputError(f"--metrics: expected a free host:port, found {address!r} ({error})") from error
    return int(server.server_port)
