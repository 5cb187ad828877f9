"""Plays, likes, blocked artists and history of a user."""

from typing import Annotated

from fastapi import APIRouter, Query

from jobs.audio.artist_names import split_artists
from serving import schemas as m
from serving.api.dependencies import CurrentUser, Limit, State, TrackId
from serving.catalog import stable_id
from serving.problems import RequestError
from serving.recommendations import tracks_out

router = APIRouter()


@router.post("/events", status_code=202)
def submit_event(state: State, user: CurrentUser, body: m.PlayEvent) -> m.EventAccepted:
    """Accept a play event: it is on disk when this answers, and reaches Kafka once that is available."""
    if body.listener not in (None, user.name):
        raise RequestError(
            409,
            f"expected an event of {user.name}, the logged-in user, found one of {ascii(body.listener)[:80]}",
        )
    return m.EventAccepted(event_id=state.accept_play(user, body.model_dump(exclude={"listener"})))


@router.put("/tracks/{track_id}/rating")
def set_rating(state: State, user: CurrentUser, track_id: TrackId, rating: m.Rating) -> m.TrackOut:
    """Like or dislike a track; null takes either back."""
    found = state.track(track_id)
    state.set_rating(user, track_id, rating.liked)
    return tracks_out([found], state.feedback.ratings(user.name))[0]


@router.get("/liked")
def liked(state: State, user: CurrentUser) -> m.Tracks:
    """Liked tracks, the latest first."""
    ratings = state.feedback.ratings(user.name)
    found = state.catalog.by_ids(each for each, good in ratings.items() if good)
    return m.Tracks(total=len(found), items=tracks_out(found, ratings))


@router.put("/artists/{artist_id}/blocked")
def set_blocked(state: State, user: CurrentUser, artist_id: m.Id, blocking: m.BlockRequest) -> m.ArtistName:
    """Block an artist, or unblock it."""
    artist = state.catalog.artists.get(artist_id)
    if artist is None:
        raise RequestError(404, f"expected the id of an artist, found {ascii(artist_id)[:80]}")
    if blocking.blocked:
        state.feedback.block(user.name, artist.name)
    else:
        for name in state.feedback.blocked(user.name):
            if stable_id("ar", split_artists(name)[0]) == artist_id:
                state.feedback.unblock(user.name, name)
    return m.ArtistName(id=artist_id, name=artist.name)


@router.get("/blocked")
def blocked(state: State, user: CurrentUser) -> list[m.ArtistName]:
    """The artists that I have blocked."""
    # A credit with guests, which once was an artist of its own, stands for its main artist.
    ids = {stable_id("ar", split_artists(name)[0]) for name in state.feedback.blocked(user.name)}
    found = [state.catalog.artists[artist_id] for artist_id in ids if artist_id in state.catalog.artists]
    found.sort(key=lambda artist: artist.name)
    return [m.ArtistName(id=artist.artist_id, name=artist.name) for artist in found]


@router.get("/history")
def history(
    state: State,
    user: CurrentUser,
    limit: Limit = 50,
    before: Annotated[m.Text | None, Query(description="`at` of the last row")] = None,
) -> list[m.HistoryItem]:
    """My play history, the latest first."""
    ratings = state.feedback.ratings(user.name)
    rows = state.feedback.history(user.name, limit=limit, before=before)
    return [
        m.HistoryItem(
            track=tracks_out([state.catalog.by_id[row["track_id"]]], ratings)[0],
            **{name: row[name] for name in ("event", "position_s", "at")},
        )
        for row in rows
        if row["track_id"] in state.catalog.by_id
    ]


@router.get("/now-playing")
def now_playing(state: State, user: CurrentUser) -> m.HistoryItem | None:
    """The track that my player has started last and not ended; null if there is none."""
    rows = history(state, user, limit=1)
    return rows[0] if rows and rows[0].event == "started" else None
