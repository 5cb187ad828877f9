"""docs/deploy/monitoring: the code has every metric and label of the dashboard and of the alerts."""

import json
import re
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jobs.runtime import stream_metrics, stream_status
from serving import app
from tests import synthetic_lake

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "deploy" / "monitoring"
COMPOSE = yaml.safe_load((FOLDER.parents[2] / "docker-compose.yml").read_text())["services"]
STREAM = {"plays": 40, "rejected": 2, "repeated": 1, "repaired": 3, "latency_s": {"p95": 0.8}}

# Written by Prometheus itself for each target.
OF_PROMETHEUS = {"up"}
LABELS_OF_PROMETHEUS = {"job", "instance"}
FUNCTIONS = {"abs", "by", "histogram_quantile", "increase", "or", "rate", "sum", "timestamp"}


def expressions():
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
            yield from re.findall(r"by \(\w+\)", target["expr"])
    for rule in rules():
        yield rule["expr"]


def rules():
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return group["rules"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The names of the samples that player and stream export, and the names of their labels."""
    lake = tmp_path_factory.mktemp("monitoring") / "lake"
    synthetic_lake.make(lake)
    (lake / "stream").mkdir()
    stream_status.write(lake, STREAM, None)
    application = app.create_app(lake, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
    with TestClient(application, base_url="http://127.0.0.1") as client:
        metrics = client.app.app.state.app_state.metrics
        metrics.count_request(200, 0.1)
        metrics.count_event("started")
        text = client.get("/api/metrics").text + generate_latest(stream_metrics.registry(lake)).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name for sample in samples}, {label for sample in samples for label in sample.labels}


def names(expression):
    """Return the metrics and the labels that an expression names."""
    labels = set(re.findall(r"(\w+)=~?\"", expression))
    labels |= {name for group in re.findall(r"by \(([\w, ]+)\)", expression) for name in group.split(", ")}
    without_labels = re.sub(r"\{[^}]*\}|by \([^)]*\)|\[\w+\]", "", expression)
    return set(re.findall(r"[a-z_]\w+", without_labels)) - FUNCTIONS, labels


def test_every_metric_and_label_exists(exported):
    metrics, labels = exported
    used = [names(expression) for expression in expressions()]
    assert len(used) > 25
    for used_metrics, used_labels in used:
        assert used_metrics <= metrics | OF_PROMETHEUS
        assert used_labels <= labels | LABELS_OF_PROMETHEUS


def test_an_unknown_metric_would_be_found(exported):
    metrics, _ = exported
    assert names('sum by (le) (rate(segue_no_such_total{status="5xx"}[5m]))') == (
        {"segue_no_such_total"},
        {"le", "status"},
    )
    assert "segue_no_such_total" not in metrics


def test_every_alert_has_a_name_a_severity_and_a_sentence():
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".") or rule["annotations"]["summary"].endswith("?")


def test_panels_do_not_overlap():
    places = [panel["gridPos"] for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]]
    assert len({(place["x"], place["y"]) for place in places}) == len(places)
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_prometheus_asks_where_compose_answers():
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    assert targets == {"serving": ["serving:8000"], "stream": ["stream:9464"]}
    for job, (target,) in targets.items():
        assert target.split(":")[1] in " ".join(COMPOSE[job]["command"])
    token_file = jobs[0]["authorization"]["credentials_file"]
    assert f"> {token_file}" in COMPOSE["prometheus"]["entrypoint"][-1]
