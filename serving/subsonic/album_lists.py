"""Album and song lists: by order, genre, chance, stars; what is playing now."""

from datetime import UTC, datetime

from serving.now_playing import current_plays
from serving.subsonic.protocol import Answer, SubsonicRequest, method


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
    answers = []
    for number, (name, current) in enumerate(sorted(current_plays(request.state, now).items()), 1):
        answer = {
            **request.library.song(current.track),
            "username": name,
            "minutesAgo": max(0, int((now - current.at).total_seconds() // 60)),
            "playerId": number,
        }
        if current.report is not None:
            answer |= {
                "playerName": current.report.client,
                "state": current.report.state,
                "positionMs": round(1000 * current.report.position_at(now)),
                "playbackRate": current.report.rate,
            }
        answers.append(answer)
    return {"nowPlaying": {"entry": answers}}
