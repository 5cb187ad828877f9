"""From a stored list to what a user sees: without what cannot be played, is disliked or is blocked since."""

from collections.abc import Set
from typing import TYPE_CHECKING

from serving import catalog
from serving.catalog import Track
from serving.online_store import Document
from serving.schemas import Recommendations, RecommendedTrack, TrackOut

if TYPE_CHECKING:
    from serving.app_state import AppState

# Plays whose recordings do not come again as another file.
_N_RECENT_PLAYS = 20

# Tracks of the default list as long as none has been published.
_N_FALLBACK_ITEMS = 30


def recommendations_of(state: "AppState", user_id: str) -> Recommendations:
    """Return a user's recommendations, or the default list for a user without plays."""
    document = state.online_store.read("recommendations", user_id)
    if document and document["items"]:
        return to_recommendations(state, user_id, document)
    return default_list(state, user_id)


def default_list(state: "AppState", user_id: str) -> Recommendations:
    """Return the published default list; before there is one, a track of each artist."""
    document = state.online_store.read("state", "default_list")
    if document and state.catalog.by_ids(item["track_id"] for item in document["items"]):
        return to_recommendations(state, user_id, document, personal=False)
    items = [
        {"track_id": track.track_id, "score": None, "reason": "from your collection"}
        for track in catalog.one_per_artist(state.catalog.tracks, _N_FALLBACK_ITEMS)
    ]
    return to_recommendations(state, user_id, {"items": items}, personal=False)


def to_recommendations(
    state: "AppState", user_id: str, document: Document, *, personal: bool = True
) -> Recommendations:
    """Return a stored list as the API's model; the items keep the ranks that they were stored with."""
    ratings = state.feedback.ratings(user_id)
    disliked_tracks, blocked_artists = exclusions(state, user_id, ratings)
    played_recordings = _recently_played_recordings(state, user_id)
    items = []
    for rank, item in enumerate(document["items"], 1):
        track = state.catalog.by_id.get(item["track_id"])
        if track is None or track.track_id in disliked_tracks or is_blocked(track, blocked_artists):
            continue
        if played_recordings.get(track.recording_id, track.track_id) != track.track_id:
            continue
        items.append(
            RecommendedTrack(
                rank=rank,
                score=item.get("score"),
                reason=item.get("reason") or "",
                track=track_out(track, ratings),
            )
        )
    as_of = document.get("as_of")
    return Recommendations(
        personal=personal,
        model_version=document.get("model_version"),
        as_of=as_of.isoformat() if as_of else None,
        items=items,
    )


def _recently_played_recordings(state: "AppState", user_id: str) -> dict[str, str]:
    """Return the recordings of a user's latest plays, each with the track that was played.

    Another file of the same recording is no recommendation; the track itself is ranked lower already.
    """
    by_id = state.catalog.by_id
    rows = state.feedback.history(user_id, limit=_N_RECENT_PLAYS)
    played = [by_id[row["track_id"]] for row in reversed(rows) if row["track_id"] in by_id]
    return {track.recording_id: track.track_id for track in played}


def exclusions(state: "AppState", user_id: str, ratings: dict[str, bool]) -> tuple[set[str], set[str]]:
    """Return the ids of the tracks a user dislikes, and the names of the artists the user blocked."""
    disliked = {track_id for track_id, liked in ratings.items() if not liked}
    return disliked, set(state.feedback.blocked(user_id))


def is_blocked(track: Track, blocked_artists: Set[str]) -> bool:
    """Return whether a track is by a blocked artist, or credits one."""
    return track.artist in blocked_artists or not blocked_artists.isdisjoint(track.artists)


def tracks_out(tracks: list[Track], ratings: dict[str, bool]) -> list[TrackOut]:
    """Return tracks as the API's model, with a user's ratings."""
    return [track_out(track, ratings) for track in tracks]


def track_out(track: Track, ratings: dict[str, bool]) -> TrackOut:
    """Return a track as the API's model; not validated again, as a page has hundreds of them."""
    return TrackOut.model_construct(
        id=track.track_id,
        title=track.title,
        artist=track.artist,
        artist_id=track.artist_id,
        album=track.album,
        album_id=track.album_id,
        year=track.year,
        genre=track.genre,
        genre_predicted=track.genre_predicted,
        track_no=track.track_no,
        disc_no=track.disc_no,
        duration_s=track.duration_s,
        liked=ratings.get(track.track_id),
    )
