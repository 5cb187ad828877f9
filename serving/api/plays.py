"""What a listener does: plays, likes, artists not to play, history."""

from typing import Annotated

from fastapi import APIRouter, Query

from serving import schemas as m
from serving.api.dependencies import House_, Limit, Me, TrackId
from serving.middleware import Refused

router = APIRouter()


@router.post("/events", status_code=202)
def event(at: House_, me: Me, given: m.PlayEvent) -> m.Accepted:
    """Take a play event: it is on the disk when this answers, and in Kafka as soon as Kafka is there."""
    if given.listener not in (None, me.name):
        raise Refused(
            409, f"expected an event of {me.name}, who is logged in, found one of {ascii(given.listener)[:80]}"
        )
    return m.Accepted(event_id=at.accept(me, given.model_dump(exclude={"listener"})))


@router.put("/tracks/{track_id}/rating")
def rate(at: House_, me: Me, track_id: TrackId, rating: m.Rating) -> m.TrackOut:
    """Like or dislike a track, or take it back."""
    found = at.track(track_id)
    at.rate(me, track_id, rating.liked)
    return at.shown([found], at.listeners.ratings(me.name))[0]


@router.get("/liked")
def liked(at: House_, me: Me) -> m.Tracks:
    """What the listener likes, the latest first."""
    ratings = at.listeners.ratings(me.name)
    found = at.catalog.known(each for each, good in ratings.items() if good)
    return m.Tracks(total=len(found), items=at.shown(found, ratings))


@router.put("/artists/{artist_id}/blocked")
def block(at: House_, me: Me, artist_id: m.Id, blocking: m.Blocking) -> m.ArtistName:
    """Never play an artist to me, or do so again."""
    albums = at.catalog.artists.get(artist_id)
    if albums is None:
        raise Refused(404, f"expected the id of an artist, found {ascii(artist_id)[:80]}")
    at.listeners.block(me.name, albums[0].artist, blocking.blocked)
    return m.ArtistName(id=artist_id, name=albums[0].artist)


@router.get("/blocked")
def blocked(at: House_, me: Me) -> list[m.ArtistName]:
    """The artists that are never played to me."""
    names = set(at.listeners.blocked(me.name))
    found = {albums[0].artist: key for key, albums in at.catalog.artists.items() if albums[0].artist in names}
    return [m.ArtistName(id=key, name=name) for name, key in sorted(found.items())]


@router.get("/history")
def history(
    at: House_,
    me: Me,
    limit: Limit = 50,
    before: Annotated[m.Text | None, Query(description="`at` of the last row")] = None,
) -> list[m.Played]:
    """What the listener has played, the latest first."""
    ratings = at.listeners.ratings(me.name)
    rows = at.listeners.history(me.name, most=limit, before=before)
    return [
        m.Played(
            track=at.shown([at.catalog.by_id[row["track_id"]]], ratings)[0],
            **{name: row[name] for name in ("event", "position_s", "at")},
        )
        for row in rows
        if row["track_id"] in at.catalog.by_id
    ]


@router.get("/now-playing")
def now_playing(at: House_, me: Me) -> m.Played | None:
    """What the listener's player has started last and not yet ended; null for nothing."""
    rows = history(at, me, limit=1)
    return rows[0] if rows and rows[0].event == "started" else None
