"""MongoDB's `plays` is cut: it is there to know a play that comes twice, and PLAYS in the lake keeps every one.

What comes twice is what Kafka still holds, so a play may go once it was applied longer ago than Kafka keeps it. Who sends
older plays again (`segue import-plays`) asks PLAYS before.
"""

from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database

from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log
from jobs.plays.topics import RETENTION

# Kafka deletes whole segments, some time after the last message of one has got too old.
_KEPT = RETENTION + timedelta(days=7)

# One mark a day is enough to know what was there when.
_BETWEEN = timedelta(days=1)


def prune_plays(database: Database[mongo.Document], lake: Lake, now: datetime) -> int:
    """Delete the plays that PLAYS had long ago already; return their number. Marks in `settings` say how far it was when.

    Killed anywhere, the next call goes on: what was deleted stays so, the marks are written whole.
    """
    (found,) = list(mongo.find(database["settings"], ["plays_had"])) or [{"marks": []}]
    marks, gone = sorted(found["marks"], key=lambda mark: mark["at"]), found.get("gone", [])
    past = [mark for mark in marks if mark["at"] <= now - _KEPT]
    deleted = 0
    if past:
        # By their ids, from the lake: to look for them the embedded store would hold the whole collection.
        ids = play_log.event_ids_between(lake, _offsets(gone), _offsets(past[-1]["reached"]))
        deleted, gone = mongo.delete(database["plays"], ids), past[-1]["reached"]
    # Of the past only the newest mark says anything.
    marks = [*past[-1:], *marks[len(past) :]]
    if not marks or marks[-1]["at"] <= now - _BETWEEN:
        reached = [
            {"origin": origin, "offset": offset}
            for origin, offset in sorted(play_log.last_offset_by_partition(lake).items())
        ]
        marks.append({"at": now, "reached": reached})
    mongo.upsert(database["settings"], [{"_id": "plays_had", "marks": marks, "gone": gone}])
    return deleted


def _offsets(reached: list[dict[str, Any]]) -> dict[str, int]:
    return {str(each["origin"]): int(each["offset"]) for each in reached}
