"""The collection: artists, albums, songs, what is known of them, and search."""

from serving.subsonic.protocol import Answer, SubsonicRequest, method


@method("getArtists")
def _artists(call: SubsonicRequest) -> Answer:
    return {"artists": {"ignoredArticles": "", "index": call.library.artist_index()}}


@method("getIndexes")
def _indexes(call: SubsonicRequest) -> Answer:
    changed = int(call.state.lake.root.stat().st_mtime * 1000)
    return {"indexes": {"ignoredArticles": "", "lastModified": changed, "index": call.library.artist_index()}}


@method("getMusicDirectory")
def _directory(call: SubsonicRequest) -> Answer:
    wanted = call.query.text("id")
    if wanted in call.state.catalog.artists:
        found = call.library.artist(wanted)
        albums = [
            {**album, "title": album["name"], "isDir": True, "parent": wanted} for album in found.pop("album")
        ]
        return {"directory": {"id": wanted, "name": found["name"], "child": albums}}
    found = call.library.album(wanted)
    return {
        "directory": {
            "id": wanted,
            "name": found["name"],
            "parent": found["artistId"],
            "child": found["song"],
        }
    }


@method("getArtist")
def _artist(call: SubsonicRequest) -> Answer:
    return {"artist": call.library.artist(call.query.text("id"))}


@method("getAlbum")
def _album(call: SubsonicRequest) -> Answer:
    return {"album": call.library.album(call.query.text("id"))}


@method("getSong")
def _song(call: SubsonicRequest) -> Answer:
    return {"song": call.library.song(call.state.track(call.query.text("id")))}


@method("getAlbumList", "getAlbumList2")
def _album_list(call: SubsonicRequest) -> Answer:
    key = "albumList2" if call.name.endswith("2") else "albumList"
    query = call.query
    return {
        key: {
            "album": call.library.album_list(
                query.text("type"),
                size=query.number("size", 10),
                offset=query.number("offset", 0, 10_000_000),
                genre=query.text("genre", ""),
                years=(query.number("fromYear", 0, 9999), query.number("toYear", 9999, 9999)),
            )
        }
    }


# --- what is known of them: nothing is asked of other services, and the audio's own tags are in the song ---


@method("getAlbumInfo", "getAlbumInfo2")
def _album_info(call: SubsonicRequest) -> Answer:
    call.library.resolve_track(call.query.text("id"))
    return {"albumInfo": {}}


@method("getArtistInfo", "getArtistInfo2")
def _artist_info(call: SubsonicRequest) -> Answer:
    near = call.library.similar_artists(call.query.text("id"), call.query.number("count", 20, 100))
    return {"artistInfo2" if call.name.endswith("2") else "artistInfo": {"similarArtist": near}}


@method("getLyrics")
def _lyrics(call: SubsonicRequest) -> Answer:
    names = {name: call.query.text(name, "") for name in ("artist", "title")}
    return {"lyrics": {**{name: text for name, text in names.items() if text}, "value": ""}}


@method("getLyricsBySongId")
def _lyrics_of(call: SubsonicRequest) -> Answer:
    call.state.track(call.query.text("id"))
    return {"lyricsList": {}}
