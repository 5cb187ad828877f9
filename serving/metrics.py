"""Prometheus metrics of one running server, and of the stream beside it (its status file in the lake)."""

import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from jobs.runtime.stream_metrics import StreamCollector

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
        ProcessCollector(registry=self.registry)
        self.registry.register(StreamCollector(lake))

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
