"""Prometheus metrics of one running server, and of the stream beside it (its status file in the lake)."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from jobs.runtime import stream_status

# Upper bounds of the request times' buckets, seconds.
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class ServerMetrics:
    """Counters of one server; its gauges are read when they are scraped."""

    def __init__(self, lake: Path) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "segue_requests", "requests answered, by status class", ["status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "segue_request_seconds", "time from request to answer", buckets=_BUCKETS_S, registry=self.registry
        )
        self._events = Counter(
            "segue_events", "play events accepted, by type", ["event"], registry=self.registry
        )
        self.add_gauge("segue_time_seconds", "time of this machine, seconds since 1970", time.time)
        self.registry.register(_StreamCollector(lake))

    def add_gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is asked for at every scrape."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def count_request(self, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(f"{status // 100}xx").inc()
        self._request_seconds.observe(seconds)

    def count_event(self, event_type: str) -> None:
        """Count one accepted play event."""
        self._events.labels(event_type).inc()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _StreamCollector:
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
