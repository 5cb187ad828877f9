"""Invariants that hold after every fault, once the stream is idle.

Each with what violates it, "" if nothing does.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from jobs.lake import schemas
from jobs.lake.schemas import PLAYS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log
from jobs.plays.events import PlayEvent
from jobs.recommender import profiles
from jobs.runtime import embedded_mongo
from serving.db.accounts import Accounts
from serving.db.database import Database
from serving.db.feedback import FeedbackStore
from tests.faults.simulated_clients import Promises


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Check twice a second until the condition holds; return whether it did in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def event_ids_in_plays(lake: Path) -> set[str]:
    """Return the event ids in PLAYS."""
    return set(play_log.read(Lake(lake), "event_id")["event_id"].to_pylist())


def violations(lake: Path, promises: Promises, uri: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield each invariant with a description of its violations, "" if there is none."""
    plays = play_log.read(Lake(lake))
    ids = set(plays["event_id"].to_pylist())
    lost, unknown = promises.accepted - ids, ids - set(promises.sent)
    yield "every accepted event is in PLAYS", _few(lost)
    yield "nothing is in PLAYS that nobody sent", _few(unknown)
    compacted = Counter(Lake(lake).read_arrow(PLAYS, "event_id")["event_id"].to_pylist())
    yield (
        "each event is in the compacted PLAYS once",
        _few({event_id for event_id, count in compacted.items() if count > 1}),
    )
    with embedded_mongo.mongo_uri(uri, lake) as address, mongo.database(address) as database:
        there = {
            name: {d["_id"]: d for d in database[name].find()} for name in ("plays", "profiles", "feedback")
        }
    yield "MongoDB's plays are those of PLAYS", _few(ids ^ set(there["plays"]))
    there["profiles"] = {user: profiles.from_document(each) for user, each in there["profiles"].items()}
    expected = _profiles(lake, play_log.to_events(plays))
    yield (
        "profiles are those computed from PLAYS alone",
        _few(
            {
                user
                for user in {*expected, *there["profiles"]}
                if expected.get(user) != there["profiles"].get(user)
            }
        ),
    )
    found = Counter[tuple[str, str, str]]()
    for user, profile in there["profiles"].items():
        for track in profile["tracks"]:
            found += Counter(
                {(user, track["track_id"], kind): track[kind] for kind in ("started", "finished", "skipped")}
            )
    sent_counts = Counter(
        {
            k: n
            for k, n in promises.count(ids & set(promises.sent)).items()
            if k[2] not in ("liked", "disliked")
        }
    )
    yield (
        "profiles count what the clients sent",
        _few({str(key) for key in {*found, *sent_counts} if found[key] != sent_counts[key]}),
    )
    yield "likes in MongoDB are those of the accounts", _few(_likes(lake, there["feedback"]))
    unreadable = set()
    for table in schemas.TABLES:
        try:
            Lake(lake).read_arrow(table)
        except Exception as error:
            unreadable.add(f"{table.name}: {error}")
    yield "every table can be read", _few(unreadable)


def _profiles(lake: Path, plays: list[PlayEvent]) -> dict[str, profiles.Profile]:
    offsets = dict(play_log.last_offsets_by_user(Lake(lake)))
    made = {user: profiles.new_profile(user) for user in offsets}
    for play in plays:
        profiles.add_play(made[play.user_id], play)
    for user, profile in made.items():
        profile.offsets = offsets[user]
    return made


def _likes(lake: Path, feedback: dict[str, mongo.Document]) -> set[str]:
    with closing(Database(lake)) as file:
        names, ratings = [name for name, _ in Accounts(file).list_users()], FeedbackStore(file).ratings
        stored = {f"{user}:{track}": liked for user in names for track, liked in ratings(user).items()}
    online = {key: document["liked"] for key, document in feedback.items()}
    return {key for key in {*stored, *online} if stored.get(key) != online.get(key)}


def _few(found: set[str]) -> str:
    return f"{len(found)}: {', '.join(sorted(found)[:5])}" if found else ""
