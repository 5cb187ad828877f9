"""A listener's profile: what each play weighs, and how a profile follows from plays. Pure functions on documents; no clock.

A profile is a list of weighted tracks, not a vector, so that any model version can read it:

    {_id: user_id, at: time of the newest play, offsets: {"<topic>-<partition>": last Kafka offset applied},
     tracks: [{track_id, at, weight, long, finished, started, skipped, liked, felt_at}]}

`weight` is the short-term weight and `long` the long-term one, both as of the track's own `at`, when it was played last;
seen from any other moment they have halved every SHORT and LONG since. A play is added to the sum at its `played_at`:
one that comes late counts what it would have counted in time. `liked` is True, False or None and does not fade; `felt_at`
is when that was said. What was said before no longer counts: neither a like that was taken back, nor one that a dislike
followed. MongoDB has the tracks field by field (`to_document`).
"""

from datetime import datetime, timedelta
from typing import Any

Profile = dict[str, Any]

# What a play says of the liking, 1 being a track heard to its end.
_FINISHED, _STARTED, _SKIPPED_EARLY, _SKIPPED_LATE = 1.0, 0.1, -0.6, 0.4
_RATED = {True: 3.0, False: -3.0, None: 0.0}

# What an event says of a track: that it is liked, disliked, or neither any more. The others say what was heard of it.
RATINGS: dict[str, bool | None] = {"liked": True, "disliked": False, "unrated": None}

# A skip before this share of the track says "not this", one after the other "nearly all of it".
_EARLY, _LATE = 0.5, 0.8

# Half-lives: an evening's mood, and a season's taste.
SHORT_HALF_LIFE, LONG_HALF_LIFE = timedelta(hours=6), timedelta(days=60)

_FIELDS = ("track_id", "at", "weight", "long", "finished", "started", "skipped", "liked", "felt_at")

# Tracks that a profile holds: some 27 KB of document. Liked and disliked ones are given up last.
MAX_TRACKS = 300


def event_weight(event: dict[str, Any]) -> float:
    """Return what one play says of the liking; -3 to 3."""
    kind = event["event"]
    if kind in RATINGS:
        return _RATED[RATINGS[kind]]
    if kind != "skipped":
        return {"finished": _FINISHED, "started": _STARTED}[kind]
    position, duration = event["position_s"], event["duration_s"]
    heard = position / duration if position is not None and duration else 0.0
    return _SKIPPED_EARLY if heard < _EARLY else _SKIPPED_LATE if heard >= _LATE else 0.0


def decayed(value: float, since: datetime, until: datetime, half_life: timedelta) -> float:
    """Return a weight of the time `since` as of `until`; a time before counts as no time."""
    elapsed = max(until - since, timedelta())
    return float(value * 0.5 ** (elapsed / half_life))


def new_profile(user_id: str) -> Profile:
    """Return the profile of somebody who has played nothing."""
    return {"_id": user_id, "at": None, "offsets": {}, "tracks": []}


def to_document(profile: Profile) -> dict[str, Any]:
    """Return the document of `profiles`: `tracks` is a list for each field, all of one length and in one order.

    A store writes nine lists in half of the time that it takes for up to 300 documents in a document.
    """
    tracks = profile["tracks"]
    return {**profile, "tracks": {name: [track[name] for track in tracks] for name in _FIELDS}}


def from_document(document: dict[str, Any]) -> Profile:
    """Return the profile of a document of `profiles`, also of one of before, whose `tracks` are a list of documents."""
    tracks = document["tracks"]
    if isinstance(tracks, list):
        return document
    return {
        **document,
        "tracks": [dict(zip(tracks, values, strict=True)) for values in zip(*tracks.values(), strict=True)],
    }


def apply(profile: Profile, event: dict[str, Any], origin: str, offset: int) -> bool:
    """Add a play to the profile; False, and nothing changed, where the profile has it: the offset is not beyond its last.

    Plays of one origin come in the order of their offsets, so the same plays give the same profile, bit for bit,
    however they are cut into batches.
    """
    if offset <= profile["offsets"].get(origin, -1):
        return False
    profile["offsets"][origin] = offset
    add_play(profile, event)
    return True


def advance_offset(profile: Profile, origin: str, offset: int) -> None:
    """Go beyond an offset without a play: what stands there is a repetition."""
    profile["offsets"][origin] = max(offset, profile["offsets"].get(origin, -1))


def feedback(profile: Profile, track_id: str) -> list[dict[str, Any]]:
    """Return the document of `feedback` about a track: what the listener last said of it; none where nothing was said."""
    return [
        {
            "_id": f"{profile['_id']}:{track_id}",
            "user_id": profile["_id"],
            "track_id": track_id,
            "liked": track["liked"],
            "at": track["felt_at"],
        }
        for track in profile["tracks"]
        if track["track_id"] == track_id and track["felt_at"] is not None
    ]


def add_play(profile: Profile, event: dict[str, Any]) -> None:
    """Add a play to the profile's tracks."""
    at, track_id = event["played_at"], event["track_id"]
    track = next((track for track in profile["tracks"] if track["track_id"] == track_id), None)
    if track is None:
        track = {
            "track_id": track_id,
            "at": at,
            "weight": 0.0,
            "long": 0.0,
            "finished": 0,
            "started": 0,
            "skipped": 0,
        }
        track |= {"liked": None, "felt_at": None}
        profile["tracks"].append(track)
    changes = [(event_weight(event), at)]
    if event["event"] not in RATINGS:
        track[event["event"]] += 1
    elif track["felt_at"] is not None and at < track["felt_at"]:
        changes = []  # something else has been said since
    else:
        if track["felt_at"] is not None:
            changes.append((-_RATED[track["liked"]], track["felt_at"]))
        track |= {"liked": RATINGS[event["event"]], "felt_at": at}
    newest = max(track["at"], at)
    for name, half_life in (("weight", SHORT_HALF_LIFE), ("long", LONG_HALF_LIFE)):
        before = decayed(track[name], track["at"], newest, half_life)
        track[name] = before + sum(decayed(value, since, newest, half_life) for value, since in changes)
    track["at"] = newest
    profile["at"] = max(profile["at"] or at, at)
    if len(profile["tracks"]) > MAX_TRACKS:
        profile["tracks"].remove(min(profile["tracks"], key=lambda t: _worth(t, profile["at"])))


def _worth(track: dict[str, Any], now: datetime) -> tuple[bool, float, str]:
    """Order tracks by how much would be lost with them; the id makes the order whole."""
    return (
        track["liked"] is not None,
        abs(decayed(track["long"], track["at"], now, LONG_HALF_LIFE)),
        track["track_id"],
    )
