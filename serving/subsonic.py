"""The OpenSubsonic API under /rest, as far as real players need it: what they scrobble feeds the stream.

A client logs in by an app password: as Subsonic's token (MD5 of password and salt), as a plain password, or as an API key.
https://opensubsonic.netlify.app/docs/ says what each method gives; errors are Subsonic's own, with status 200.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from serving.accounts import User
from serving.guard import Refused
from serving.house import House
from serving.media import file_response
from serving.shelves import Shelves

VERSION = "1.16.1"
_NAMESPACE = "http://subsonic.org/restapi"

# Subsonic's error numbers.
_GENERIC, _MISSING, _WRONG, _TOKEN_UNSUPPORTED, _FORBIDDEN, _NOT_FOUND = 0, 10, 40, 42, 50, 70
_CONFLICTING, _BAD_KEY = 43, 44

_EXTENSIONS = ("apiKeyAuthentication", "formPost", "sonicSimilarity")

_RECOMMENDED = "recommended"

router = APIRouter(include_in_schema=False)


class SubsonicError(Exception):
    """What a client is told: one of Subsonic's numbers, and a line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Query:
    """The parameters of one call; each may be given several times."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter."""
        return self._values.get(name, [])

    def text(self, name: str, default: str | None = None) -> str:
        """Return a parameter; SubsonicError where it is missing and has no default."""
        found = self._values.get(name)
        if found:
            return found[0]
        if default is None:
            raise SubsonicError(_MISSING, f"expected the parameter {name}, found none")
        return default

    def number(self, name: str, default: int, most: int = 500) -> int:
        """Return a parameter as a number of 0 to `most`; SubsonicError where it is none."""
        text = self.text(name, str(default))
        if not text.isascii() or not text.isdecimal():
            raise SubsonicError(_GENERIC, f"{name}: expected a number, found {ascii(text)[:40]}")
        return min(int(text[:9]), most)


class Call:
    """One call: who, what was asked, and everything to answer it with."""

    def __init__(self, house: House, user: User, query: Query, request: Request) -> None:
        self.house, self.user, self.query, self.request = house, user, query, request
        self.shelves = Shelves(house, user)


Answer = dict[str, Any] | Response
METHODS: dict[str, Callable[[Call], Answer]] = {}


def method(*names: str) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    """Make a function the answer to calls of these names."""

    def register(function: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        METHODS.update(dict.fromkeys(names, function))
        return function

    return register


@router.api_route("/rest/{name}", methods=["GET", "POST", "HEAD"])
async def rest(request: Request, name: str) -> Response:
    """Answer one call, in XML, or in JSON where `f=json` asks for it."""
    values = parse_qs(request.url.query, keep_blank_values=True, max_num_fields=2_000)
    if request.method == "POST":
        body = (await request.body()).decode("utf-8", "replace")
        for key, more in parse_qs(body, keep_blank_values=True, max_num_fields=2_000).items():
            values.setdefault(key, []).extend(more)
    query = Query(values)
    return await run_sync(_answer, request, name.removesuffix(".view"), query)


def _answer(request: Request, name: str, query: Query) -> Response:
    try:
        house: House = request.app.state.house
        if name == "getOpenSubsonicExtensions":  # asked before a login
            return _wrap(query, _extensions())
        user = _login(house, query, request)
        if name not in METHODS:
            raise SubsonicError(_GENERIC, f"expected a method that Segue has, found {ascii(name)[:40]}")
        found = METHODS[name](Call(house, user, query, request))
        return found if isinstance(found, Response) else _wrap(query, found)
    except SubsonicError as error:
        return _wrap(query, {"error": {"code": error.code, "message": str(error)}}, status="failed")
    except Refused as refused:
        if refused.status_code == 429:
            raise
        code = _NOT_FOUND if refused.status_code == 404 else _GENERIC
        return _wrap(query, {"error": {"code": code, "message": str(refused)}}, status="failed")


def _login(house: House, query: Query, request: Request) -> User:
    """Return whose app password the call carries; failed calls are counted against guessing."""
    client = request.client.host if request.client else ""
    key = query.text("apiKey", "")
    if key:
        if query.text("u", ""):
            raise SubsonicError(_CONFLICTING, "expected an API key without a user name, found both")
        user = house.accounts.client_of(key)
        if user is None:
            house.login_limit.take(f"from {client}")
            raise SubsonicError(_BAD_KEY, "expected an API key that Segue has made, found another")
        return user
    name = query.text("u")
    token, salt, password = query.text("t", ""), query.text("s", ""), query.text("p", "")
    if password.startswith("enc:"):
        try:
            password = bytes.fromhex(password[4:]).decode()
        except ValueError:
            password = ""
    for each in house.accounts.clients(name):
        expected = hashlib.md5((each.secret + salt).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
        given, right = (token.lower(), expected) if token else (password, each.secret)
        if hmac.compare_digest(given.encode("utf-8", "replace"), right.encode()):
            found = house.accounts.client_of(each.secret)
            if found is not None:
                return found
    house.login_limit.take(f"from {client}")
    raise SubsonicError(
        _WRONG, "expected a user's name and an app password of the user's (made on the page, in Settings)"
    )


def _wrap(query: Query, content: dict[str, Any], status: str = "ok") -> Response:
    head = {
        "status": status,
        "version": VERSION,
        "type": "segue",
        "serverVersion": "0.1",
        "openSubsonic": True,
    }
    if query.text("f", "xml") == "json":
        return JSONResponse({"subsonic-response": {**head, **content}})
    root = ElementTree.Element("subsonic-response", {"xmlns": _NAMESPACE})
    _fill(root, {**head, **content})
    return Response(ElementTree.tostring(root, "utf-8", xml_declaration=True), media_type="application/xml")


def _fill(element: ElementTree.Element, content: dict[str, Any]) -> None:
    """Write plain values as attributes, dicts as elements, lists as an element for each item."""
    for name, value in content.items():
        if isinstance(value, dict):
            _fill(ElementTree.SubElement(element, name), value)
        elif isinstance(value, list):
            for item in value:
                child = ElementTree.SubElement(element, name)
                if isinstance(item, dict):
                    _fill(child, item)
                else:
                    child.text = _plain(item)
        elif name == "value":
            element.text = _plain(value)
        elif value is not None:
            element.set(name, _plain(value))


def _plain(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(c for c in text if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c < "\ufffe"))


def _extensions() -> dict[str, Any]:
    return {"openSubsonicExtensions": [{"name": name, "versions": [1]} for name in _EXTENSIONS]}


# --- the server ---


@method("ping")
def _ping(_: Call) -> Answer:
    return {}


@method("getLicense")
def _license(_: Call) -> Answer:
    return {"license": {"valid": True}}


@method("getMusicFolders")
def _folders(_: Call) -> Answer:
    return {"musicFolders": {"musicFolder": [{"id": 1, "name": "Music"}]}}


@method("getScanStatus")
def _scan(call: Call) -> Answer:
    return {"scanStatus": {"scanning": False, "count": len(call.house.catalog.tracks)}}


@method("tokenInfo")
def _token(call: Call) -> Answer:
    return {"tokenInfo": {"username": call.user.name}}


@method("getUser")
def _user(call: Call) -> Answer:
    if call.query.text("username", call.user.name) != call.user.name:
        raise SubsonicError(_FORBIDDEN, "expected your own name")
    roles = {"streamRole": True, "downloadRole": True, "scrobblingEnabled": True, "adminRole": call.user.admin}
    no = ("settingsRole", "uploadRole", "playlistRole", "coverArtRole", "commentRole", "podcastRole", "jukeboxRole")
    return {"user": {"username": call.user.name, **roles, **dict.fromkeys((*no, "shareRole"), False), "folder": [1]}}


# --- the shelves ---


@method("getArtists")
def _artists(call: Call) -> Answer:
    return {"artists": {"ignoredArticles": "", "index": call.shelves.index()}}


@method("getIndexes")
def _indexes(call: Call) -> Answer:
    changed = int(call.house.lake.root.stat().st_mtime * 1000)
    return {"indexes": {"ignoredArticles": "", "lastModified": changed, "index": call.shelves.index()}}


@method("getMusicDirectory")
def _directory(call: Call) -> Answer:
    wanted = call.query.text("id")
    if wanted in call.house.catalog.artists:
        found = call.shelves.artist(wanted)
        albums = [{**album, "title": album["name"], "isDir": True, "parent": wanted} for album in found.pop("album")]
        return {"directory": {"id": wanted, "name": found["name"], "child": albums}}
    found = call.shelves.album(wanted)
    return {"directory": {"id": wanted, "name": found["name"], "parent": found["artistId"], "child": found["song"]}}


@method("getArtist")
def _artist(call: Call) -> Answer:
    return {"artist": call.shelves.artist(call.query.text("id"))}


@method("getAlbum")
def _album(call: Call) -> Answer:
    return {"album": call.shelves.album(call.query.text("id"))}


@method("getSong")
def _song(call: Call) -> Answer:
    return {"song": call.shelves.song(call.house.track(call.query.text("id")))}


@method("getAlbumList", "getAlbumList2")
def _album_list(call: Call) -> Answer:
    key = "albumList2" if call.request.url.path.removesuffix(".view").endswith("2") else "albumList"
    query = call.query
    return {
        key: {
            "album": call.shelves.albums(
                query.text("type"),
                size=query.number("size", 10),
                offset=query.number("offset", 0, 10_000_000),
                genre=query.text("genre", ""),
                years=(query.number("fromYear", 0, 9999), query.number("toYear", 9999, 9999)),
            )
        }
    }


@method("getGenres")
def _genres(call: Call) -> Answer:
    return {
        "genres": {
            "genre": [{"value": name, "songCount": count, "albumCount": 0} for name, count in call.house.catalog.genres]
        }
    }


@method("getSongsByGenre")
def _by_genre(call: Call) -> Answer:
    count, offset = call.query.number("count", 10), call.query.number("offset", 0, 10_000_000)
    found = call.shelves.of_genre(call.query.text("genre"))[offset : offset + count]
    return {"songsByGenre": {"song": call.shelves.songs(found)}}


@method("getRandomSongs")
def _random(call: Call) -> Answer:
    found = call.shelves.random(call.query.number("size", 10), call.query.text("genre", ""))
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
    key = "searchResult3" if "search3" in call.request.url.path else "searchResult2"
    return {key: call.shelves.search(query.text("query", "").strip('"'), pages)}


@method("getSimilarSongs", "getSimilarSongs2")
def _similar(call: Call) -> Answer:
    key = "similarSongs2" if call.request.url.path.removesuffix(".view").endswith("2") else "similarSongs"
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


# --- playlists ---


@method("getPlaylists")
def _playlists(call: Call) -> Answer:
    return {"playlists": {"playlist": [_recommended(call)]}}


@method("getPlaylist")
def _playlist(call: Call) -> Answer:
    if call.query.text("id") != _RECOMMENDED:
        raise SubsonicError(_NOT_FOUND, "expected the id of a playlist")
    return {"playlist": _recommended(call, entries=True)}


def _recommended(call: Call, entries: bool = False) -> dict[str, Any]:
    found = call.house.recommendations(call.user.name)
    known = call.house.catalog.by_id
    now = found.as_of or datetime.now(UTC).isoformat()
    playlist = {
        "id": _RECOMMENDED,
        "name": "Recommended for you",
        "owner": call.user.name,
        "public": False,
        "songCount": len(found.items),
        "duration": round(sum(item.track.duration_s for item in found.items)),
        "created": now,
        "changed": now,
    }
    if found.items:
        playlist["coverArt"] = found.items[0].track.id
    return {**playlist, "entry": call.shelves.songs([known[i.track.id] for i in found.items])} if entries else playlist


# --- files ---


@method("stream", "download")
def _stream(call: Call) -> FileResponse:
    return file_response(call.house, call.house.track(call.query.text("id")))


@method("getCoverArt")
def _cover(call: Call) -> Answer:
    track = call.shelves.any_track(call.query.text("id"))
    picture = call.house.covers.jpeg(track, call.house.catalog.audio_file(track), call.query.number("size", 600, 1200))
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


# --- what the listener does ---


@method("scrobble")
def _scrobble(call: Call) -> Answer:
    kind = "started" if call.query.text("submission", "true").lower() == "false" else "finished"
    times = call.query.all("time")
    for number, track_id in enumerate(call.query.all("id") or [call.query.text("id")]):
        event: dict[str, Any] = {"track_id": track_id, "event": kind}
        track = call.house.track(track_id)
        if kind == "finished":
            event["position_s"] = track.duration_s
        if number < len(times):
            event["played_at"] = _time(times[number])
        call.house.accept(call.user, event)
    return {}


def _time(milliseconds: str) -> str:
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise SubsonicError(
            _GENERIC, f"time: expected milliseconds since 1970, found {ascii(milliseconds)[:40]}"
        ) from None


@method("star", "unstar")
def _star(call: Call) -> Answer:
    liked = True if call.request.url.path.removesuffix(".view").endswith("/star") else None
    for track in call.shelves.named(call.query.all("id"), call.query.all("albumId"), call.query.all("artistId")):
        call.house.rate(call.user, track.track_id, liked)
    return {}


@method("setRating")
def _rate(call: Call) -> Answer:
    stars = call.query.number("rating", 0, 5)
    liked = None if stars in (0, 3) else stars > 3
    for track in call.shelves.named([call.query.text("id")], [], []):
        call.house.rate(call.user, track.track_id, liked)
    return {}


@method("getStarred", "getStarred2")
def _starred(call: Call) -> Answer:
    key = "starred2" if call.request.url.path.removesuffix(".view").endswith("2") else "starred"
    ratings = call.house.listeners.ratings(call.user.name)
    found = call.house.catalog.known(each for each, liked in ratings.items() if liked)
    return {key: {"artist": [], "album": [], "song": call.shelves.songs(found)}}


@method("getNowPlaying")
def _now(call: Call) -> Answer:
    rows = call.house.listeners.history(call.user.name, most=1)
    if not rows or rows[0]["event"] != "started" or rows[0]["track_id"] not in call.house.catalog.by_id:
        return {"nowPlaying": {"entry": []}}
    minutes = int((datetime.now(UTC) - datetime.fromisoformat(rows[0]["at"])).total_seconds() // 60)
    song = call.shelves.song(call.house.catalog.by_id[rows[0]["track_id"]])
    return {
        "nowPlaying": {"entry": [{**song, "username": call.user.name, "minutesAgo": max(0, minutes), "playerId": 1}]}
    }
