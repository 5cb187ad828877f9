"""The stream's figures reach Prometheus; tests/unit/serving/api has the server's own."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.runtime import stream_status
from serving.metrics import ServerMetrics

STREAM = {"plays": 40, "rejected": 2, "repeated": 1, "repaired": 3, "latency_s": {"p50": 0.3, "p95": 0.8}}
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


def samples(lake):
    """Return the value of each sample by its name and label values."""
    families = text_string_to_metric_families(ServerMetrics(lake).exposition().decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_prometheus_parses_the_metrics_of_the_stream(lake):
    stream_status.write(lake, STREAM, PROGRESS)
    values = samples(lake)
    assert values["segue_stream_plays_total",] == 40 and values["segue_stream_lag",] == 5
    assert values["segue_stream_rejected_total",] == 2
    assert values["segue_stream_duplicate_events_total",] == 1
    assert values["segue_stream_reconciled_profiles_total",] == 3
    assert values["segue_stream_events_per_second",] == 12.3
    assert values["segue_stream_batch_seconds",] == 0.25
    assert values["segue_stream_up",] == 1
    assert values["segue_stream_latency_seconds", "0.50"] == 0.3
    assert values["segue_stream_latency_seconds", "0.95"] == 0.8


def test_stream_that_never_ran_has_no_metrics(lake):
    assert not any(name.startswith("segue_stream") for name, *_ in samples(lake))
