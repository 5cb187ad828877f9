"""Album and song lists: by order, genre, chance, stars; what is playing now."""

from datetime import UTC, datetime, timedelta
from typing import Any

from serving.subsonic.protocol import Answer, SubsonicRequest, method

# A start longer ago than this is not looked at; a player may have paused for a while after its start.
_MAX_TRACK_LENGTH, _PAUSE = timedelta(hours=24), timedelta(minutes=1)


@method("getAlbumList", "getAlbumList2")
def _album_list(request: SubsonicRequest) -> Answer:
    key = "albumList2" if request.name.endswith("2") else "albumList"
    query = request.query
    albums = request.library.album_list(
        query.text("type"),
        size=query.number("size", 10),
        offset=query.number("offset", 0, 10_000_000),
        genre=query.text("genre", ""),
        years=(query.number("fromYear", 0, 9999), query.number("toYear", 9999, 9999)),
    )
    return {key: {"album": albums}}


@method("getRandomSongs")
def _random_songs(request: SubsonicRequest) -> Answer:
    query = request.query
    years = (query.number("fromYear", 0, 9999), query.number("toYear", 9999, 9999))
    tracks = request.library.random_songs(query.number("size", 10), query.text("genre", ""), years)
    return {"randomSongs": {"song": request.library.songs(tracks)}}


@method("getSongsByGenre")
def _songs_by_genre(request: SubsonicRequest) -> Answer:
    count, offset = request.query.number("count", 10), request.query.number("offset", 0, 10_000_000)
    tracks = request.state.catalog.by_genre(request.query.text("genre"))[offset : offset + count]
    return {"songsByGenre": {"song": request.library.songs(tracks)}}


@method("getStarred", "getStarred2")
def _starred(request: SubsonicRequest) -> Answer:
    ratings = request.state.feedback.ratings(request.user.name)
    tracks = request.state.catalog.by_ids(track_id for track_id, liked in ratings.items() if liked)
    albums, artists = request.library.starred()
    key = request.name.removeprefix("get").lower()
    return {key: {"artist": artists, "album": albums, "song": request.library.songs(tracks)}}


@method("getNowPlaying")
def _now_playing(request: SubsonicRequest) -> Answer:
    """What every user plays, as the user's client has reported it last, until the end of the track."""
    now = datetime.now(UTC)
    by_id = request.state.catalog.by_id
    entries: dict[str, dict[str, Any]] = {}
    for row in request.state.feedback.latest_plays(now - _MAX_TRACK_LENGTH):
        started_at = datetime.fromisoformat(row["at"])
        track = by_id.get(row["track_id"])
        if row["event"] != "started" or track is None:
            continue
        if now - started_at < timedelta(seconds=track.duration_s) + _PAUSE:
            entries[row["user"]] = {"track": track, "at": started_at}
    for playback in request.state.now_playing.latest(now):
        if playback.track_id in by_id:
            entries[playback.user] = {
                "track": by_id[playback.track_id],
                "at": playback.at,
                "playerName": playback.client,
                "state": playback.state,
                "positionMs": round(1000 * playback.position_at(now)),
                "playbackRate": playback.rate,
            }
    answers = [
        {
            **request.library.song(entry.pop("track")),
            "username": name,
            "minutesAgo": max(0, int((now - entry.pop("at")).total_seconds() // 60)),
            "playerId": number,
            **entry,
        }
        for number, (name, entry) in enumerate(sorted(entries.items()), 1)
    ]
    return {"nowPlaying": {"entry": answers}}
