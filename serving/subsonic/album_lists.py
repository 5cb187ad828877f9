"""Lists of songs: by genre, by chance, by name, by sound."""

from collections import Counter

from serving.subsonic.protocol import Answer, SubsonicRequest, method


@method("getGenres")
def _genres(call: SubsonicRequest) -> Answer:
    albums = Counter(
        genre for album in call.state.catalog.albums.values() for genre in {t.genre for t in album.tracks}
    )
    found = call.state.catalog.genres
    return {
        "genres": {"genre": [{"value": n, "songCount": count, "albumCount": albums[n]} for n, count in found]}
    }


@method("getSongsByGenre")
def _by_genre(call: SubsonicRequest) -> Answer:
    count, offset = call.query.number("count", 10), call.query.number("offset", 0, 10_000_000)
    found = call.library.songs_by_genre(call.query.text("genre"))[offset : offset + count]
    return {"songsByGenre": {"song": call.library.songs(found)}}


@method("getRandomSongs")
def _random(call: SubsonicRequest) -> Answer:
    query = call.query
    years = (query.number("fromYear", 0, 9999), query.number("toYear", 9999, 9999))
    found = call.library.random_songs(query.number("size", 10), query.text("genre", ""), years)
    return {"randomSongs": {"song": call.library.songs(found)}}


@method("getTopSongs")
def _top(call: SubsonicRequest) -> Answer:
    return {
        "topSongs": {
            "song": call.library.songs(
                call.library.top_songs(call.query.text("artist"), call.query.number("count", 50))
            )
        }
    }


@method("search3", "search2")
def _search(call: SubsonicRequest) -> Answer:
    query = call.query
    pages = {
        kind: (query.number(f"{kind}Offset", 0, 10_000_000), query.number(f"{kind}Count", 20))
        for kind in ("artist", "album", "song")
    }
    key = "searchResult3" if call.name == "search3" else "searchResult2"
    return {key: call.library.search(query.text("query", "").strip('"'), pages)}


@method("getSimilarSongs", "getSimilarSongs2")
def _similar(call: SubsonicRequest) -> Answer:
    key = "similarSongs2" if call.name.endswith("2") else "similarSongs"
    found = call.library.similar(call.query.text("id"), call.query.number("count", 50))
    return {key: {"song": call.library.songs(found)}}


@method("getSonicSimilarTracks")
def _sonic(call: SubsonicRequest) -> Answer:
    track = call.state.track(call.query.text("id"))
    known = call.state.catalog.by_id
    items = [item for item in call.state.online_store.similar(track.track_id) if item["track_id"] in known]
    return {
        "sonicMatch": [
            {
                "entry": call.library.song(known[item["track_id"]]),
                "similarity": round(max(0.0, item["score"]), 4),
            }
            for item in items[: call.query.number("count", 10)]
        ]
    }


@method("findSonicPath")
def _path(call: SubsonicRequest) -> Answer:
    start, end = (call.state.track(call.query.text(name)) for name in ("startSongId", "endSongId"))
    champion = call.state.online_store.champion()
    path = call.state.radio.path_between(
        call.state.catalog, champion, start, end, call.query.number("count", 25, 100)
    )
    return {
        "sonicMatch": [
            {"entry": call.library.song(track), "similarity": round(score, 4)} for track, score in path
        ]
    }
