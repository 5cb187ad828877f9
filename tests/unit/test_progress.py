import logging
import time

from jobs import progress


def test_a_log_line_now_and_then_without_a_terminal(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.05)
    monkeypatch.setattr(progress, "_LOOK_EVERY_S", 0.01)
    with caplog.at_level(logging.INFO, "segue"), progress.watch("extract", 10, lambda: 7):
        time.sleep(0.3)
    assert any("extract: 7 of 10" in line for line in caplog.messages)


def test_a_summary_counts_first_and_names_text():
    counts = {"tracks": 12_345, "recipe": "timbre", "silhouette": "0.185", "new": 0}
    assert progress.summary(counts) == "12,345 tracks, recipe timbre, silhouette 0.185, 0 new"


def test_without_a_terminal_a_line_says_what_is_done(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "segue"):
        progress.log_finished("extract", 10.4)
        monkeypatch.setattr(progress, "_display", object())
        progress.log_finished("embed", 3.0)
    assert caplog.messages == ["extract: done after 10 s"]
