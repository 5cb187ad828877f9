"""TRACK_IDS: which content has which id. An id once given is remembered, and goes to no other piece.

A content that TRACK_IDS does not know gets FMA's number, if its file is one of FMA's, or else 16 hex digits
of its hash. If it is a new encoding of a track whose file is gone since the last run, it gets that track's
id: same path or not, fingerprint and duration say that it is the same recording (`duplicates.py`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.audio.fingerprint import fingerprint_track
from jobs.fma import errata
from jobs.lake.schemas import FINGERPRINTS, TRACK_IDS, TRACKS, Column
from jobs.lake.storage import Lake
from jobs.library import duplicates
from jobs.spark import file_tasks

Row = Mapping[str, Any]

# What is staged for FINGERPRINTS, as `segue deduplicate` stages it and goes on with it.
FINGERPRINT_RESULTS = FINGERPRINTS.with_columns(Column("audio_path", "string", "file that is fingerprinted"))

# Files per Spark task: a second or two of work.
FINGERPRINT_TASK_FILES = 16

_HASH_DIGITS = 16


def update_track_ids(master: str, lake: Lake, files: list[dict[str, Any]]) -> dict[str, str]:
    """Add the contents of usable rows of FILES to TRACK_IDS; return the track_id of each by content_hash."""
    remembered = _read_remembered(lake)
    contents: dict[str, Row] = {}
    for row in sorted(files, key=lambda row: (row["fma_id"] is None, row["path"])):
        contents.setdefault(row["content_hash"], row)
    new = {content_hash: row for content_hash, row in contents.items() if content_hash not in remembered}
    ids = {}
    if new:
        alive = {row["track_id"] for row in remembered.values() if row["content_hash"] in contents}
        orphans = [row for row in _tracks(lake) if row["track_id"] not in alive]
        ids = assign(new, remembered, follow_recordings(master, lake, new, orphans))
    is_changed = bool(new) or not lake.count_rows(TRACK_IDS)
    is_changed = _remember_added(lake, remembered, contents) or is_changed
    for content_hash, file in contents.items():
        old: Row = remembered.get(content_hash, {})
        known = {
            "content_hash": content_hash,
            "audio_hash": old.get("audio_hash") or file["audio_hash"],
            "track_id": ids.get(content_hash) or old["track_id"],
            "fma_id": old.get("fma_id") or file["fma_id"],
            "added_ns": old.get("added_ns"),
        }
        is_changed = is_changed or known != old
        remembered[content_hash] = known
    if is_changed and remembered:
        rows = [remembered[content_hash] for content_hash in sorted(remembered)]
        lake.commit_arrow(TRACK_IDS, pa.Table.from_pylist(rows, schema=TRACK_IDS.arrow_schema()).to_batches())
    return {content_hash: remembered[content_hash]["track_id"] for content_hash in contents}


def _remember_added(lake: Lake, remembered: Mapping[str, dict[str, Any]], contents: Collection[str]) -> bool:
    """Enter when the tracks that leave now were first seen; return whether there are any.

    TRACKS has it until its next version.
    """
    leaving = [
        row for each, row in remembered.items() if each not in contents and row.get("added_ns") is None
    ]
    if not leaving:
        return False
    rows = lake.read_arrow(TRACKS, "track_id", "added_ns", "mtime_ns").to_pylist()
    added = {row["track_id"]: row["added_ns"] or row["mtime_ns"] for row in rows}
    for row in leaving:
        row["added_ns"] = added.get(row["track_id"])
    return any(row["added_ns"] is not None for row in leaving)


def _read_remembered(lake: Lake) -> dict[str, dict[str, Any]]:
    """Return TRACK_IDS by content_hash; before its first version the ids that TRACKS has."""
    if lake.version(TRACK_IDS) is not None:
        return {row["content_hash"]: row for row in lake.iter_rows(TRACK_IDS)}
    remembered = {}
    for row in _tracks(lake):
        number = errata.fma_number(row["path"])
        remembered[row["content_hash"]] = {
            "content_hash": row["content_hash"],
            "audio_hash": None,
            "track_id": row["track_id"],
            "fma_id": number if number == row["track_id"] else None,
        }
    return remembered


def _tracks(lake: Lake) -> list[dict[str, Any]]:
    """Return the rows of TRACKS that have a file."""
    columns = ("track_id", "content_hash", "path", "duration_s")
    return [row for row in lake.iter_rows(TRACKS, *columns) if row["path"] is not None]


def assign(
    new: Mapping[str, Row], remembered: Mapping[str, Row], followed: Mapping[str, str]
) -> dict[str, str]:
    """Return the track_id of each new content.

    Parameters
    ----------
    new
        Rows of FILES by content_hash.
    remembered
        Rows of TRACK_IDS by content_hash.
    followed
        The track_id of each new content that is the recording of a track.
    """
    # The pieces that have each id: FMA's number of the track, or None for a piece that is not FMA's.
    pieces: dict[str, set[str | None]] = defaultdict(set)
    for row in remembered.values():
        pieces[row["track_id"]].add(row["fma_id"])
    ids = {}
    for content_hash, row in new.items():
        number = row["fma_id"]
        if number is not None and pieces.get(number, {number}) == {number}:
            track_id = number
        else:
            track_id = followed.get(content_hash) or content_hash[:_HASH_DIGITS]
            if content_hash not in followed and track_id in pieces:
                track_id = content_hash
        pieces[track_id].add(number)
        ids[content_hash] = track_id
    return ids


def follow_recordings(
    master: str, lake: Lake, new: Mapping[str, Row], orphans: list[dict[str, Any]]
) -> dict[str, str]:
    """Return the track_id of each new content that is the recording of a track whose file is gone.

    Only contents of about the same duration are fingerprinted; `segue deduplicate` need not do it again.
    """
    known = _read_fingerprints(lake, [row["content_hash"] for row in orphans])
    orphans = [row for row in orphans if row["content_hash"] in known]
    durations = np.array(sorted(row["duration_s"] for row in orphans))
    candidates = [
        row
        for row in new.values()
        if row["fma_id"] is None and duplicates.is_near(durations, row["duration_s"])
    ]
    if not candidates:
        return {}
    _fingerprint(master, lake, candidates)
    hashes = [row["content_hash"] for row in candidates]
    known |= _read_fingerprints(lake, hashes, staged=True)
    return match_recordings(orphans, [row for row in candidates if row["content_hash"] in known], known)


def match_recordings(
    orphans: list[dict[str, Any]], candidates: list[Row], fingerprints: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """Return the track_id of an orphan for each candidate that is its recording, by content_hash.

    Each orphan goes to one candidate: to that of the same path first, then to the most similar one.
    """
    rows = {row["content_hash"]: row for row in [*orphans, *candidates]}
    hashes = list(rows)
    pairs = duplicates.compare_pairs(
        hashes,
        [fingerprints[content_hash] for content_hash in hashes],
        np.array([rows[content_hash]["duration_s"] for content_hash in hashes], float),
    )
    track_ids = {row["content_hash"]: row["track_id"] for row in orphans}
    matches = []
    for pair in pairs:
        old, new = pair["content_hash"], pair["other_hash"]
        if new in track_ids:
            old, new = new, old
        if pair["is_same"] and old in track_ids and new not in track_ids:
            is_moved = rows[old]["path"] != rows[new]["path"]
            matches.append((is_moved, pair["bit_errors"], old, new))
    followed: dict[str, str] = {}
    for _, _, old, new in sorted(matches):
        if new not in followed and old in track_ids:
            followed[new] = track_ids.pop(old)
    return followed


def _fingerprint(master: str, lake: Lake, rows: Iterable[Row]) -> None:
    """Stage the fingerprints that FINGERPRINTS does not have."""
    known = set(lake.read_arrow(FINGERPRINTS, "content_hash")["content_hash"].to_pylist())
    known |= set(lake.read_staged_arrow(FINGERPRINTS, "content_hash")["content_hash"].to_pylist())
    todo = [
        {name: row[name] for name in ("content_hash", "duration_s", "audio_path")}
        for row in rows
        if row["content_hash"] not in known
    ]
    file_tasks.map_files(
        master,
        lake,
        todo,
        [int(row["duration_s"]) for row in todo],
        name="compare",
        function=fingerprint_track,
        table=FINGERPRINTS,
        results=FINGERPRINT_RESULTS,
        task_files=FINGERPRINT_TASK_FILES,
    )


def _read_fingerprints(lake: Lake, hashes: list[str], *, staged: bool = False) -> dict[str, np.ndarray]:
    """Return the fingerprints that are known of these contents, uint32, by content_hash."""
    if not hashes:
        return {}
    is_wanted = pc.field("content_hash").isin(hashes)
    tables = [lake.read_arrow(FINGERPRINTS, where=is_wanted)]
    if staged:
        tables.append(lake.read_staged_arrow(FINGERPRINTS).filter(is_wanted))
    return {
        row["content_hash"]: np.array(row["fingerprint"], np.int32).view(np.uint32)
        for table in tables
        for row in table.to_pylist()
    }
