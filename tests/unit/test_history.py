"""PLAYS by day and what the stream adds: each event once, whatever is merged, compacted or written again."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs import history, storage
from jobs.storage import Lake
from jobs.tables import PLAYS

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def play(number, *, offset=None, day=0, user="u", origin="plays-0@x"):
    event = dict.fromkeys(PLAYS.names)
    event |= {"event_id": f"e{number}", "user_id": user, "track_id": "2", "event": "finished", "origin": origin}
    return event | {"offset": number if offset is None else offset, "played_at": NOW + timedelta(days=day)}


def add(lake, name, *plays):
    lake.append(PLAYS, name, history.rows(plays))


def ids(lake):
    return [row["event_id"] for row in history.read(lake).to_pylist()]


def test_a_batch_that_is_written_again_is_there_once(lake):
    add(lake, "0.0.1", play(0), play(1))
    add(lake, "0.0.1", play(0), play(1))
    add(lake, "0.2.2", play(0, offset=2))
    assert ids(lake) == ["e0", "e1"]
    assert dict(history.last_offsets(lake)) == {"u": {"plays-0@x": 2}}


def test_many_small_files_become_one(lake, monkeypatch):
    monkeypatch.setattr(storage, "_MERGED_AT", 10)
    for number in range(25):
        add(lake, f"0.{number}", play(number))
    assert len(lake.live(PLAYS)) == 7
    assert sorted(ids(lake)) == sorted(f"e{n}" for n in range(25))


def test_compacting_sorts_by_day_and_a_late_play_finds_its_day(lake):
    add(lake, "a", play(0), play(1, day=1))
    assert history.compact(lake) == 2 and lake.live(PLAYS) == []
    untouched = lake.version(PLAYS) / "day=2026-11-22" / "part-00000.parquet"
    inode = untouched.stat().st_ino
    add(lake, "b", play(2), play(1, offset=9, day=0))  # a late one, and one that is there on another day
    assert history.compact(lake) == 1 and history.compact(lake) == 0
    days = {day.name for day in lake.version(PLAYS).iterdir()}
    assert days == {"day=2026-11-21", "day=2026-11-22"}
    assert (lake.version(PLAYS) / "day=2026-11-22" / "part-00000.parquet").stat().st_ino == inode
    assert sorted(ids(lake)) == ["e0", "e1", "e2"] and lake.rows(PLAYS) == 3


def test_a_kill_between_the_flip_and_the_clearing_doubles_nothing(lake, monkeypatch):
    add(lake, "a", play(0), play(1))
    monkeypatch.setattr(lake, "commit_days", lambda table, days, taken: Lake.commit_days(lake, table, days, []))
    assert history.compact(lake) == 2
    assert len(lake.live(PLAYS)) == 1 and ids(lake) == ["e0", "e1"]
    assert history.compact(lake) == 0 and lake.rows(PLAYS) == 2


def test_of_two_the_first_counts(lake):
    add(lake, "a", {**play(0, offset=5), "track_id": "second"}, {**play(0, offset=4), "track_id": "first"})
    assert [row["track_id"] for row in history.read(lake).to_pylist()] == ["first"]
