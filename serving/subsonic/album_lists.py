"""Lists of songs: by genre, by chance, by name, by sound."""

from collections import Counter

from serving.subsonic.protocol import Answer, Call, method


@method("getGenres")
def _genres(call: Call) -> Answer:
    albums = Counter(genre for album in call.house.catalog.albums.values() for genre in {t.genre for t in album.tracks})
    found = call.house.catalog.genres
    return {"genres": {"genre": [{"value": n, "songCount": count, "albumCount": albums[n]} for n, count in found]}}


@method("getSongsByGenre")
def _by_genre(call: Call) -> Answer:
    count, offset = call.query.number("count", 10), call.query.number("offset", 0, 10_000_000)
    found = call.shelves.of_genre(call.query.text("genre"))[offset : offset + count]
    return {"songsByGenre": {"song": call.shelves.songs(found)}}


@method("getRandomSongs")
def _random(call: Call) -> Answer:
    query = call.query
    years = (query.number("fromYear", 0, 9999), query.number("toYear", 9999, 9999))
    found = call.shelves.random(query.number("size", 10), query.text("genre", ""), years)
    return {"randomSongs": {"song": call.shelves.songs(found)}}


@method("getTopSongs")
def _top(call: Call) -> Answer:
    return {
        "topSongs": {
            "song": call.shelves.songs(call.shelves.top(call.query.text("artist"), call.query.number("count", 50)))
        }
    }


@method("search3", "search2")
def _search(call: Call) -> Answer:
    query = call.query
    pages = {
        kind: (query.number(f"{kind}Offset", 0, 10_000_000), query.number(f"{kind}Count", 20))
        for kind in ("artist", "album", "song")
    }
    key = "searchResult3" if call.name == "search3" else "searchResult2"
    return {key: call.shelves.search(query.text("query", "").strip('"'), pages)}


@method("getSimilarSongs", "getSimilarSongs2")
def _similar(call: Call) -> Answer:
    key = "similarSongs2" if call.name.endswith("2") else "similarSongs"
    found = call.shelves.similar(call.query.text("id"), call.query.number("count", 50))
    return {key: {"song": call.shelves.songs(found)}}


@method("getSonicSimilarTracks")
def _sonic(call: Call) -> Answer:
    track = call.house.track(call.query.text("id"))
    known = call.house.catalog.by_id
    items = [item for item in call.house.projection.similar(track.track_id) if item["track_id"] in known]
    return {
        "sonicMatch": [
            {"entry": call.shelves.song(known[item["track_id"]]), "similarity": round(max(0.0, item["score"]), 4)}
            for item in items[: call.query.number("count", 10)]
        ]
    }


@method("findSonicPath")
def _path(call: Call) -> Answer:
    start, end = (call.house.track(call.query.text(name)) for name in ("startSongId", "endSongId"))
    champion = call.house.projection.champion()
    path = call.house.radio.path(call.house.catalog, champion, start, end, call.query.number("count", 25, 100))
    return {"sonicMatch": [{"entry": call.shelves.song(track), "similarity": round(score, 4)} for track, score in path]}
