import logging
import time

from jobs import progress


def test_watch_logs_without_a_terminal(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.05)
    monkeypatch.setattr(progress, "_UPDATE_INTERVAL_S", 0.01)
    with caplog.at_level(logging.INFO, "segue"), progress.watch("extract", 10, lambda: 7):
        time.sleep(0.3)
    assert any("extract: 7 of 10" in line for line in caplog.messages)


def test_summary_puts_numbers_first_and_texts_last():
    counts = {"tracks": 12_345, "recipe": "timbre", "silhouette": "0.185", "new": 0}
    assert progress.summary(counts) == "12,345 tracks, recipe timbre, silhouette 0.185, 0 new"


def test_log_finished_logs_without_a_terminal(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "segue"):
        progress.log_finished("extract", 10.4)
        monkeypatch.setattr(progress, "_display", object())
        progress.log_finished("embed", 3.0)
    assert caplog.messages == ["extract: done after 10 s"]
