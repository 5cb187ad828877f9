"""Invariants that hold after every fault, once the stream is idle.

Each with what violates it, "" if nothing does.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
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

# Event types that a profile counts; likes and dislikes are ratings.
_COUNTED = ("started", "finished", "skipped")


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
    repeated = {event_id for event_id, count in compacted.items() if count > 1}
    yield "each event is in the compacted PLAYS once", _few(repeated)
    with embedded_mongo.mongo_uri(uri, lake) as address, mongo.database(address) as database:
        stored = {
            document["_id"]: profiles.from_document(document) for document in database["profiles"].find()
        }
        play_ids = {document["_id"] for document in database["plays"].find()}
        feedback = {document["_id"]: document for document in database["feedback"].find()}
    yield "MongoDB's plays are those of PLAYS", _few(ids ^ play_ids)
    expected = _profiles(lake, play_log.to_events(plays))
    differing = {user for user in {*expected, *stored} if expected.get(user) != stored.get(user)}
    yield "profiles are those computed from PLAYS alone", _few(differing)
    counted = _counts(stored.values())
    sent = promises.count(ids & set(promises.sent))
    sent = Counter({key: count for key, count in sent.items() if key[2] in _COUNTED})
    miscounted = {str(key) for key in {*counted, *sent} if counted[key] != sent[key]}
    yield "profiles count what the clients sent", _few(miscounted)
    yield "likes in MongoDB are those of the accounts", _few(_likes(lake, feedback))
    yield "every table can be read", _few(_unreadable(Lake(lake)))


def _counts(stored: Iterable[profiles.Profile]) -> Counter[tuple[str, str, str]]:
    """Count (user, track, event type) as the profiles do."""
    counts = Counter[tuple[str, str, str]]()
    for profile in stored:
        for track in profile.tracks:
            for kind in _COUNTED:
                counts[profile.user_id, track.track_id, kind] += getattr(track, kind)
    return counts


def _unreadable(lake: Lake) -> set[str]:
    unreadable = set()
    for table in schemas.TABLES:
        try:
            lake.read_arrow(table)
        except Exception as error:
            unreadable.add(f"{table.name}: {error}")
    return unreadable


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
