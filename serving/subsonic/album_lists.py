"""Album and song lists: by order, genre, chance, stars; what is playing now."""

from datetime import UTC, datetime

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
    rows = request.state.feedback.history(request.user.name, limit=1)
    by_id = request.state.catalog.by_id
    if not rows or rows[0]["event"] != "started" or rows[0]["track_id"] not in by_id:
        return {"nowPlaying": {"entry": []}}
    age = datetime.now(UTC) - datetime.fromisoformat(rows[0]["at"])
    entry = {
        **request.library.song(by_id[rows[0]["track_id"]]),
        "username": request.user.name,
        "minutesAgo": max(0, int(age.total_seconds() // 60)),
        "playerId": 1,
    }
    return {"nowPlaying": {"entry": [entry]}}
