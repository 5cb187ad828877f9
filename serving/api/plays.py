"""What a listener does: plays, likes, artists not to play, history."""

from typing import Annotated

from fastapi import APIRouter, Query

from serving import schemas as m
from serving.api.dependencies import CurrentUser, Limit, State, TrackId
from serving.middleware import RequestError

router = APIRouter()


@router.post("/events", status_code=202)
def submit_event(at: State, me: CurrentUser, given: m.PlayEvent) -> m.EventAccepted:
    """Take a play event: it is on the disk when this answers, and in Kafka as soon as Kafka is there."""
    if given.listener not in (None, me.name):
        raise RequestError(
            409,
            f"expected an event of {me.name}, who is logged in, found one of {ascii(given.listener)[:80]}",
        )
    return m.EventAccepted(event_id=at.accept_play(me, given.model_dump(exclude={"listener"})))


@router.put("/tracks/{track_id}/rating")
def set_rating(at: State, me: CurrentUser, track_id: TrackId, rating: m.Rating) -> m.TrackOut:
    """Like or dislike a track, or take it back."""
    found = at.track(track_id)
    at.set_rating(me, track_id, rating.liked)
    return at.to_track_out([found], at.feedback.ratings(me.name))[0]


@router.get("/liked")
def liked(at: State, me: CurrentUser) -> m.Tracks:
    """What the listener likes, the latest first."""
    ratings = at.feedback.ratings(me.name)
    found = at.catalog.by_ids(each for each, good in ratings.items() if good)
    return m.Tracks(total=len(found), items=at.to_track_out(found, ratings))


@router.put("/artists/{artist_id}/blocked")
def set_blocked(at: State, me: CurrentUser, artist_id: m.Id, blocking: m.BlockRequest) -> m.ArtistName:
    """Never play an artist to me, or do so again."""
    albums = at.catalog.artists.get(artist_id)
    if albums is None:
        raise RequestError(404, f"expected the id of an artist, found {ascii(artist_id)[:80]}")
    at.feedback.block(me.name, albums[0].artist, blocking.blocked)
    return m.ArtistName(id=artist_id, name=albums[0].artist)


@router.get("/blocked")
def blocked(at: State, me: CurrentUser) -> list[m.ArtistName]:
    """The artists that are never played to me."""
    names = set(at.feedback.blocked(me.name))
    found = {albums[0].artist: key for key, albums in at.catalog.artists.items() if albums[0].artist in names}
    return [m.ArtistName(id=key, name=name) for name, key in sorted(found.items())]


@router.get("/history")
def history(
    at: State,
    me: CurrentUser,
    limit: Limit = 50,
    before: Annotated[m.Text | None, Query(description="`at` of the last row")] = None,
) -> list[m.HistoryItem]:
    """What the listener has played, the latest first."""
    ratings = at.feedback.ratings(me.name)
    rows = at.feedback.history(me.name, most=limit, before=before)
    return [
        m.HistoryItem(
            track=at.to_track_out([at.catalog.by_id[row["track_id"]]], ratings)[0],
            **{name: row[name] for name in ("event", "position_s", "at")},
        )
        for row in rows
        if row["track_id"] in at.catalog.by_id
    ]


@router.get("/now-playing")
def now_playing(at: State, me: CurrentUser) -> m.HistoryItem | None:
    """What the listener's player has started last and not yet ended; null for nothing."""
    rows = history(at, me, limit=1)
    return rows[0] if rows and rows[0].event == "started" else None
