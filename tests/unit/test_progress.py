import logging
import re
import time

import pytest

from jobs import progress


def test_watch_logs_without_a_terminal(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.05)
    monkeypatch.setattr(progress, "_UPDATE_INTERVAL_S", 0.01)
    with caplog.at_level(logging.INFO, "segue"), progress.watch("extract", 10, lambda: 7):
        time.sleep(0.3)
    assert any(re.fullmatch(r"extract: 7 of 10 \(.*/s, about \d+ s left\)", m) for m in caplog.messages)


def test_nothing_done_gives_no_estimate(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.05)
    monkeypatch.setattr(progress, "_UPDATE_INTERVAL_S", 0.01)
    with caplog.at_level(logging.INFO, "segue"), progress.watch("extract", 10, lambda: 0):
        time.sleep(0.3)
    assert "extract: 0 of 10 (0.0/s)" in caplog.messages


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("12 tracks, 3 new", ["12 tracks, 3 new"]),
        ("12 tracks, 3 new, 1 rejected", ["12 tracks, 3 new,", "1 rejected"]),
        ("a text longer than the width, 3 new", ["a text longer than the width,", "3 new"]),
        ("", [""]),
    ],
)
def test_lines_break_only_after_commas(text, lines):
    assert progress.wrap_at_commas(text, 18) == lines


def test_summary_puts_numbers_first_and_texts_last():
    counts = {"tracks": 12_345, "recipe": "timbre", "silhouette": "0.185", "new": 0}
    assert progress.summary(counts) == "12,345 tracks, recipe timbre, silhouette 0.185, 0 new"


def test_log_finished_logs_without_a_terminal(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "segue"):
        progress.log_finished("extract", 10.4)
        monkeypatch.setattr(progress, "_display", object())
        progress.log_finished("embed", 3.0)
    assert caplog.messages == ["extract: done after 10 s"]
