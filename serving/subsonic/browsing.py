"""Browsing: artists, albums, songs, genres, information on them, top and similar songs."""

from collections import Counter

from jobs.lake.schemas import TRACKS
from serving.catalog_items import IGNORED_ARTICLES, track_genres
from serving.subsonic.protocol import Answer, SubsonicRequest, method

# The id of the one folder that getMusicFolders lists.
MUSIC_FOLDER_ID = "1"


@method("getArtists")
def _artists(request: SubsonicRequest) -> Answer:
    return {"artists": {"ignoredArticles": IGNORED_ARTICLES, "index": request.library.artist_index()}}


@method("getIndexes")
def _indexes(request: SubsonicRequest) -> Answer:
    """The artists; without them if nothing has changed since `ifModifiedSince` (milliseconds since 1970)."""
    version = request.state.lake.version(TRACKS)
    begun_at_ns = version.begun_at_ns if version else request.state.lake.root.stat().st_mtime_ns
    changed = begun_at_ns // 1_000_000
    answer = {"ignoredArticles": IGNORED_ARTICLES, "lastModified": changed}
    since = request.query.text("ifModifiedSince", "0")
    if since.isascii() and since.isdecimal() and int(since[:15]) >= changed:
        return {"indexes": answer}
    return {"indexes": {**answer, "index": request.library.artist_index()}}


@method("getMusicDirectory")
def _directory(request: SubsonicRequest) -> Answer:
    item_id = request.query.text("id")
    if item_id == MUSIC_FOLDER_ID:
        artists = [artist for index in request.library.artist_index() for artist in index["artist"]]
        children = [{**artist, "title": artist["name"], "isDir": True} for artist in artists]
        return {"directory": {"id": item_id, "name": "Music", "child": children}}
    if item_id in request.state.catalog.artists:
        found = request.library.artist(item_id)
        albums = [
            {**album, "title": album["name"], "isDir": True, "parent": item_id}
            for album in found.pop("album")
        ]
        return {"directory": {"id": item_id, "name": found["name"], "child": albums}}
    found = request.library.album(item_id)
    return {
        "directory": {
            "id": item_id,
            "name": found["name"],
            "parent": found["artistId"],
            "child": found["song"],
        }
    }


@method("getArtist")
def _artist(request: SubsonicRequest) -> Answer:
    return {"artist": request.library.artist(request.query.text("id"))}


@method("getAlbum")
def _album(request: SubsonicRequest) -> Answer:
    return {"album": request.library.album(request.query.text("id"))}


@method("getSong")
def _song(request: SubsonicRequest) -> Answer:
    return {"song": request.library.song(request.state.track(request.query.text("id")))}


@method("getAlbumInfo", "getAlbumInfo2")
def _album_info(request: SubsonicRequest) -> Answer:
    """MusicBrainz's id of the release, where a tag has it; Segue asks no other service for notes."""
    track = request.library.resolve_track(request.query.text("id"))
    mbid = request.state.catalog.details.row(track.row)["release_mbid"]
    return {"albumInfo": {"musicBrainzId": mbid} if mbid else {}}


@method("getArtistInfo", "getArtistInfo2")
def _artist_info(request: SubsonicRequest) -> Answer:
    near = request.library.similar_artists(request.query.text("id"), request.query.number("count", 20, 100))
    return {"artistInfo2" if request.name.endswith("2") else "artistInfo": {"similarArtist": near}}


@method("getGenres")
def _genres(request: SubsonicRequest) -> Answer:
    albums = Counter[str]()
    songs = Counter[str]()
    for album in request.state.catalog.albums.values():
        of_tracks = [set(track_genres(track)) for track in album.tracks]
        albums.update(set[str]().union(*of_tracks))
        for names in of_tracks:
            songs.update(names)
    genres = [
        {"value": name, "songCount": count, "albumCount": albums[name]} for name, count in songs.most_common()
    ]
    return {"genres": {"genre": genres}}


@method("getTopSongs")
def _top_songs(request: SubsonicRequest) -> Answer:
    query = request.query
    artist_id = query.text("id", "")
    artist = request.library.artist(artist_id)["name"] if artist_id else query.text("artist")
    tracks = request.library.top_songs(artist, query.number("count", 50))
    return {"topSongs": {"song": request.library.songs(tracks)}}


@method("getSimilarSongs", "getSimilarSongs2")
def _similar_songs(request: SubsonicRequest) -> Answer:
    key = "similarSongs2" if request.name.endswith("2") else "similarSongs"
    tracks = request.library.similar(request.query.text("id"), request.query.number("count", 50))
    return {key: {"song": request.library.songs(tracks)}}
