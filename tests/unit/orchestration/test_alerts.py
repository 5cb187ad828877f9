"""An alert goes to the lake's alerts.log; tests/dags/test_runs.py has the webhook."""

from types import SimpleNamespace

import pytest

from jobs.orchestration.alerts import alert


@pytest.mark.parametrize(("reason", "text"), [("timed_out", "did not finish in time"), (None, "failed")])
def test_alert_names_the_dag_the_run_and_the_reason(tmp_path, monkeypatch, reason, text):
    monkeypatch.setenv("SEGUE_LAKE", str(tmp_path))
    monkeypatch.delenv("SEGUE_WEBHOOK", raising=False)
    context = {
        "dag": SimpleNamespace(dag_id="train"),
        "dag_run": SimpleNamespace(run_id="r1"),
        "reason": reason,
    }
    alert(context)
    alert(context)
    lines = (tmp_path / "logs" / "alerts.log").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(f"Z train {text} (r1); the previous model serves on")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/alerts", "example.org", "http://[x", "http://a b/"])
def test_unusable_webhook_does_not_raise(tmp_path, monkeypatch, caplog, url):
    monkeypatch.setenv("SEGUE_LAKE", str(tmp_path))
    monkeypatch.setenv("SEGUE_WEBHOOK", url)
    alert({"dag": SimpleNamespace(dag_id="train"), "dag_run": SimpleNamespace(run_id="r1")})
    assert "the webhook did not accept the alert" in caplog.text
