"""Prune the online store's `plays`, which only serve to recognize repeated plays; the lake keeps all.

Only plays that Kafka still holds can be repeated, so a play may be deleted once it was applied longer ago
than Kafka's retention. `segue import-plays`, which can send older plays again, compares with PLAYS instead.
"""

from datetime import datetime, timedelta
from typing import Any

from jobs.lake.storage import Lake
from jobs.online import mongo, state
from jobs.plays import play_log
from jobs.plays.topics import RETENTION

# Kafka deletes whole segments, some time after the newest message of a segment has expired.
_MIN_AGE = RETENTION + timedelta(days=7)

# One snapshot of the offsets a day is enough to know which plays are how old.
_SNAPSHOT_INTERVAL = timedelta(days=1)


def prune_plays(database: mongo.Database, lake: Lake, now: datetime) -> int:
    """Delete the plays that PLAYS has had for longer than Kafka's retention; return their number.

    `state.plays_retention` holds `snapshots` of PLAYS' offsets over time and the offsets up to which plays
    are `pruned`. After a kill the next call deletes the rest: deleting is idempotent, and the document is
    written last, in one piece.
    """
    document = mongo.get(database["state"], state.PLAYS_RETENTION) or {"snapshots": [], "pruned": []}
    snapshots = sorted(document["snapshots"], key=lambda snapshot: snapshot["at"])
    pruned = document["pruned"]
    expired = [snapshot for snapshot in snapshots if snapshot["at"] <= now - _MIN_AGE]
    recent = snapshots[len(expired) :]
    n_deleted = 0
    if expired:
        newest = expired[-1]
        # The ids come from the lake: a query by offset would make the embedded store load the whole
        # collection.
        event_ids = play_log.event_ids_between(lake, _to_dict(pruned), _to_dict(newest["offsets"]))
        n_deleted = mongo.delete(database["plays"], event_ids)
        pruned = newest["offsets"]
        snapshots = [newest, *recent]
    if not snapshots or snapshots[-1]["at"] <= now - _SNAPSHOT_INTERVAL:
        snapshots.append({"at": now, "offsets": _to_list(play_log.last_offset_by_partition(lake))})
    state.write(database, {"_id": state.PLAYS_RETENTION, "snapshots": snapshots, "pruned": pruned})
    return n_deleted


def _to_list(offsets: dict[str, int]) -> list[dict[str, Any]]:
    return [{"origin": origin, "offset": offset} for origin, offset in sorted(offsets.items())]


def _to_dict(offsets: list[dict[str, Any]]) -> dict[str, int]:
    return {str(entry["origin"]): int(entry["offset"]) for entry in offsets}
