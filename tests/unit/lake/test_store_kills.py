"""A writer to an object store killed before or after any of its requests, and by kill -9."""

import os
from contextlib import suppress

import pyarrow as pa

from jobs.lake import append_table
from jobs.lake.object_store import ObjectStore
from jobs.lake.schemas import PLAYS, VECTORS
from jobs.lake.storage import Lake
from jobs.plays import play_log
from tests.faults import store_kills

KILLS = int(os.environ.get("SEGUE_KILLS", "3"))

REQUESTS = ("get", "get_range", "put", "put_if", "list", "delete")


class Killed(BaseException):
    """What no handler of an error catches."""


def killed_at(monkeypatch, number):
    """Let request `number` end the process: so it is after the one before, too."""
    count = 0

    def request(real, *arguments):
        nonlocal count
        count += 1
        if count >= number:
            raise Killed
        return real(*arguments)

    def counted(real):
        return lambda self, *arguments: request(real, self, *arguments)

    for name in REQUESTS:
        monkeypatch.setattr(ObjectStore, name, counted(getattr(ObjectStore, name)))


def commit(lake, number):
    rows = [{"embedder_id": number, "track_id": each, "embedding": [1.0]} for each in "abc"]
    lake.commit_arrow(VECTORS, [pa.RecordBatch.from_pylist(rows, schema=VECTORS.arrow_schema())])


def test_commit_killed_at_any_request(tmp_path, store_url, monkeypatch):
    lake = Lake(tmp_path, store_url)
    commit(lake, "0")
    found = []
    for number in range(1, 20):
        with monkeypatch.context() as patch, suppress(Killed):
            killed_at(patch, number)
            commit(lake, str(number))
            break
        rows = lake.read_arrow(VECTORS, "embedder_id")["embedder_id"].to_pylist()
        assert len(rows) == 3 and len(set(rows)) == 1
        found.append(rows[0])
    assert len(found) >= 7 and found[0] == "0" and found[-1] == str(len(found))
    commit(lake, "again")
    assert len(ObjectStore(store_url).list("VECTORS/versions")) == 2


def append_and_compact(lake, numbers):
    for each in numbers:
        play_log.play_table(lake).append(f"{each}", store_kills.plays(each))
    play_log.compact(lake)


def test_append_and_compact_killed_at_any_request(tmp_path, store_url, monkeypatch):
    monkeypatch.setattr(append_table, "_FILES_PER_MERGE", 3)
    for number in range(1, 60, 1 if KILLS > 3 else 4):
        lake = Lake(tmp_path / str(number), f"{store_url}/{number}")
        append_and_compact(lake, [1])
        play_log.play_table(lake).append("2", store_kills.plays(2))
        with monkeypatch.context() as patch, suppress(Killed):
            killed_at(patch, number)
            append_and_compact(lake, [3, 4])
            break
        ids = play_log.read(lake, "event_id")["event_id"].to_pylist()
        assert len(ids) == len(set(ids)) and len(ids) in (10, 15, 20)
        append_and_compact(lake, [3, 4])
        assert lake.count_rows(PLAYS) == 20 and play_log.play_table(lake).pending_files() == []
    assert number > 20


def test_kill_9_of_writers(object_store):
    violations, line = store_kills.run(KILLS, 1, object_store, longest_s=0.6)
    assert not violations and "versions" in line
