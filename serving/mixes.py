"""Every user's mixes of the day, with their names: chosen at the first request of a day (UTC), then kept.

`jobs.recommender.mixes` chooses the tracks. A mix of a cluster is named by the genres and the sound of its
tracks: "Folk: slow, acoustic".
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from jobs.recommender import mixes, profiles
from jobs.recommender.mixes import Mix
from jobs.recommender.profiles import Profile
from serving.catalog import Track
from serving.db.mixes import RETENTION_DAYS, NamedMix
from serving.recommendations import exclusions, is_blocked

if TYPE_CHECKING:
    from serving.app_state import AppState

_TITLES = {
    "week": ("More of this week", "Like what you played in the last seven days."),
    "new": ("New here", "Added in the last thirty days, the likeliest for you first."),
    "rediscover": ("Rediscover", "You liked or often played these, and have not heard them for two months."),
}

# A track counts as new for so long, unless most of the collection is as new.
_NEW_FOR, _MAX_NEW_FRACTION = timedelta(days=30), 0.5

# Fraction of a mix's tracks that its genre, or its two genres together, must have to name it.
_MIN_GENRE_FRACTION = 0.5

_N_ARTISTS_NAMED = 3


def mixes_of(state: "AppState", user_id: str, day: date | None = None) -> list[NamedMix]:
    """Return a user's mixes of today, or of an earlier day of the last week; none without a model.

    Tracks that have left the collection, are disliked or blocked since are left out.
    """
    today = datetime.now(UTC).date()
    if day is not None and day != today:
        stored = state.mixes.read(user_id, day) if day > today - timedelta(days=RETENTION_DAYS + 1) else []
    else:
        stored = _todays(state, user_id, today)
    disliked, blocked = exclusions(state, user_id, state.feedback.ratings(user_id))
    return [
        replace(mix, tracks=tuple(track.track_id for track in tracks))
        for mix in stored
        if (
            tracks := [
                track
                for track in state.catalog.by_ids(mix.tracks)
                if track.track_id not in disliked and not is_blocked(track, blocked)
            ]
        )
    ]


def find_mix(state: "AppState", user_id: str, mix_id: str) -> NamedMix | None:
    """Return the mix of an id; `mix-1@2026-11-26` is that of an earlier day."""
    name, _, day = mix_id.partition("@")
    try:
        found = mixes_of(state, user_id, date.fromisoformat(day) if day else None)
    except ValueError:
        return None
    return next((mix for mix in found if mix.mix_id == name), None)


def _todays(state: "AppState", user_id: str, today: date) -> list[NamedMix]:
    stored = state.mixes.read(user_id, today)
    # The mixes of a user without plays make room for their own as soon as there are some.
    if stored and stored[0].personal:
        return stored
    document = state.online_store.read("profiles", user_id)
    profile = profiles.from_document(document) if document else profiles.new_profile(user_id)
    is_personal = any(track.finished or track.liked for track in profile.tracks)
    if stored and not is_personal:
        return stored
    named = [replace(mix, day=today.isoformat(), personal=is_personal) for mix in _choose(state, profile)]
    if named:
        state.mixes.replace(user_id, today, named)
    return named


def _choose(state: "AppState", profile: Profile) -> list[NamedMix]:
    items = state.radio.item_catalog(state.catalog, state.online_store.champion())
    if not len(items.ids):
        return []
    now = datetime.now(UTC)
    found: list[Mix | None] = list(mixes.cluster_mixes(items, profile, day=now.date()))
    found.append(mixes.week_mix(items, profile, now=now))
    found.append(mixes.new_mix(items, profile, new_ids=_new_ids(state, now), now=now))
    found.append(mixes.rediscover_mix(items, profile, now=now))
    named: list[NamedMix] = []
    for place, mix in enumerate((mix for mix in found if mix is not None), 1):
        if mix.kind == "cluster":
            mix_id, (title, comment) = f"mix-{place}", cluster_name(state, mix.track_ids)
            titles = {each.title for each in named}
            title = title if title not in titles else f"{title} ({place})"
        else:
            mix_id, (title, comment) = f"mix-{mix.kind}", _TITLES[mix.kind]
        named.append(NamedMix(mix_id, "", title, comment, tuple(mix.track_ids), False))
    return named


def _new_ids(state: "AppState", now: datetime) -> list[str]:
    """Return the tracks added in the last thirty days; none if most of the collection is as new."""
    since = (now - _NEW_FOR).timestamp()
    new = [track.track_id for track in state.catalog.tracks if track.added_s >= since]
    return new if len(new) <= _MAX_NEW_FRACTION * len(state.catalog.tracks) else []


def cluster_name(state: "AppState", track_ids: Sequence[str]) -> tuple[str, str]:
    """Return a name and a comment for tracks of one cluster."""
    tracks = state.catalog.by_ids(track_ids)
    genre = _genre(tracks)
    words = [word for word in state.radio.sound_words().describe(track_ids) if word not in genre.lower()]
    artists = [name for name, _ in Counter(track.artist for track in tracks).most_common(_N_ARTISTS_NAMED)]
    sound = ", ".join(words)
    title = ": ".join(part for part in (genre, sound) if part)
    title = title[:1].upper() + title[1:] or f"Around {artists[0]}"
    return title, f"With {', '.join(artists)} and others; new every day."


def _genre(tracks: Sequence[Track]) -> str:
    """Return the genre of most tracks, or the two of most; "" if there are more."""
    counts = Counter(track.genre for track in tracks if track.genre).most_common(2)
    for n_genres in (1, 2):
        if sum(count for _, count in counts[:n_genres]) >= _MIN_GENRE_FRACTION * len(tracks):
            return " & ".join(name for name, _ in counts[:n_genres])
    return ""
