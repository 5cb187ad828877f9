"""PLAYS by day and what the stream appends: each event once, however it was written."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.lake import append_table
from jobs.lake.schemas import PLAYS
from jobs.plays import play_log
from jobs.plays.events import LoggedPlay, PlayEvent

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


@pytest.fixture
def lake(any_lake):
    return any_lake


def play(number, *, offset=None, day=0, user="u", origin="plays-0@x", track="2"):
    event = PlayEvent(
        event_id=f"e{number}",
        user_id=user,
        track_id=track,
        event="finished",
        played_at=NOW + timedelta(days=day),
    )
    return LoggedPlay(event, origin, number if offset is None else offset)


def add(lake, name, *plays):
    play_log.play_table(lake).append(name, play_log.to_arrow(plays))


def identity(file):
    """Return what stays the same while a file is not copied: its inode, or its key in the store."""
    return file.stat().st_ino if isinstance(file, Path) else file.key


def ids(lake):
    return [row["event_id"] for row in play_log.read(lake).to_pylist()]


def test_batch_written_again_is_read_once(lake):
    add(lake, "0.0.1", play(0), play(1))
    add(lake, "0.0.1", play(0), play(1))
    add(lake, "0.2.2", play(0, offset=2))
    assert ids(lake) == ["e0", "e1"]
    assert dict(play_log.last_offsets_by_user(lake)) == {"u": {"plays-0@x": 2}}


def test_many_small_files_are_merged(lake, monkeypatch):
    monkeypatch.setattr(append_table, "_FILES_PER_MERGE", 10)
    for number in range(25):
        add(lake, f"0.{number}", play(number))
    assert len(play_log.play_table(lake).pending_files()) == 7
    assert sorted(ids(lake)) == sorted(f"e{n}" for n in range(25))


def test_compact_partitions_by_day_of_play(lake):
    add(lake, "a", play(0), play(1, day=1))
    assert play_log.compact(lake) == 2 and play_log.play_table(lake).pending_files() == []
    untouched = identity(lake.version(PLAYS).files_of("2026-11-22")[0])
    add(lake, "b", play(2), play(1, offset=9, day=0))  # a late play, and one that another day already has
    assert play_log.compact(lake) == 1 and play_log.compact(lake) == 0
    assert lake.version(PLAYS).days() == ["2026-11-21", "2026-11-22"]
    assert identity(lake.version(PLAYS).files_of("2026-11-22")[0]) == untouched
    assert sorted(ids(lake)) == ["e0", "e1", "e2"] and lake.count_rows(PLAYS) == 3


def test_kill_before_pending_files_are_deleted_doubles_nothing(lake, monkeypatch):
    add(lake, "a", play(0), play(1))
    compact = append_table.AppendTable.compact
    monkeypatch.setattr(append_table.AppendTable, "compact", lambda self, days, _: compact(self, days, []))
    assert play_log.compact(lake) == 2
    assert len(play_log.play_table(lake).pending_files()) == 1 and ids(lake) == ["e0", "e1"]
    assert play_log.compact(lake) == 0 and lake.count_rows(PLAYS) == 2


def test_first_of_two_events_with_one_id_counts(lake):
    add(lake, "a", play(0, offset=5, track="second"), play(0, offset=4, track="first"))
    assert [row["track_id"] for row in play_log.read(lake).to_pylist()] == ["first"]


def test_latest_plays_reads_only_the_newest_days(lake, monkeypatch):
    for day in range(4):
        add(lake, f"{day}", *(play(3 * day + number, day=day) for number in range(3)))
    play_log.compact(lake)
    add(lake, "late", play(12, day=1))
    days_read = []
    read_partitions = append_table.AppendTable.read_partitions

    def record(self, days):
        days_read.extend(days)
        return read_partitions(self, days)

    monkeypatch.setattr(append_table.AppendTable, "read_partitions", record)
    newest = [event.event_id for event in play_log.latest_plays(lake, 5)]
    assert newest == ["e7", "e8", "e10", "e11", "e9"]
    assert days_read == ["2026-11-24", "2026-11-23"]
    every = [event.event_id for event in play_log.latest_plays(lake, 100)]
    assert every[:5] == ["e0", "e1", "e2", "e12", "e3"]


def test_last_offsets_by_user_after_given_offsets(lake):
    add(lake, "a", play(0, user="anna"), play(7, user="anna", origin="plays-1@x"))
    play_log.compact(lake)
    add(lake, "b", play(1, user="rob"), play(2, user="anna"))
    offsets = {"anna": {"plays-0@x": 2, "plays-1@x": 7}, "rob": {"plays-0@x": 1}}
    assert dict(play_log.last_offsets_by_user(lake)) == offsets
    assert play_log.last_offset_by_partition(lake) == offsets["anna"]
    later = play_log.last_offsets_by_user(lake, {"plays-0@x": 1, "plays-1@x": 7})
    assert dict(later) == {"anna": {"plays-0@x": 2}}


@pytest.mark.parametrize("by", ["user_id", "event_id"])
@pytest.mark.parametrize("compacted", [True, False])
def test_plays_of_many_users_come_in_whole_ordered_pieces(lake, monkeypatch, compacted, by):
    plays = [play(number, user=f"u{number % 17}", day=number % 3) for number in range(200)]
    add(lake, "a", *plays[:150])
    if compacted:
        play_log.compact(lake)
    add(lake, "b", *plays[150:], plays[0])
    users = [f"u{number}" for number in range(12)]
    monkeypatch.setattr(append_table, "_ROWS_PER_PARTITION", 40)
    pieces = [piece.to_pylist() for piece in play_log.iter_plays_of(lake, users, by)]
    assert len(pieces) == 4 and max(map(len, pieces)) < 60
    values = [{row[by] for row in piece} for piece in pieces]
    assert sum(map(len, values)) == len(set().union(*values))
    assert [value for part in values for value in sorted(part)] == sorted(set().union(*values))
    ids_read = sorted(row["event_id"] for piece in pieces for row in piece)
    expected = [logged.play.event_id for logged in plays if logged.play.user_id in users]
    assert ids_read == sorted([*expected, "e0"])
    assert ids_read == sorted(play_log.plays_of(lake, users)["event_id"].to_pylist())
    assert not list((lake.root / "PLAYS").glob(".pieces-*"))


def test_scratch_of_a_killed_partitioning_is_removed(lake):
    add(lake, "a", play(0))
    left = lake.root / "PLAYS" / ".pieces-killed"
    left.mkdir(parents=True)
    (left / "000000.parquet").write_text("half")
    play_log.play_table(lake).remove_scratch()
    assert not left.exists() and ids(lake) == ["e0"]
