"""The player's API under /api: each route parses, asks the house, answers."""

from collections.abc import Callable
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Cookie, Depends, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from jobs.errors import InputError
from serving import models as m
from serving.accounts import LOCAL, User
from serving.catalog import fold
from serving.covers import SIZES
from serving.guard import Refused
from serving.house import House
from serving.live import message
from serving.media import file_response
from serving.projection import mark

COOKIE = "segue_session"

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": what, "content": {"application/problem+json": {"schema": m.Problem.model_json_schema()}}}
    for status, what in {
        400: "malformed",
        401: "no login",
        403: "not allowed",
        404: "not there",
        413: "too large",
        422: "not what was expected",
        429: "too many",
    }.items()
}

router = APIRouter(prefix="/api", responses=_PROBLEMS)


async def house(request: Request) -> House:
    """Return the server's parts; async, or FastAPI would take a thread for it."""
    return request.app.state.house


async def listener(
    request: Request,
    segue_session: Annotated[str | None, Cookie(include_in_schema=False)] = None,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> User:
    """Return who asks: by session cookie, or by an app password as bearer token."""
    return request.app.state.house.listener(cookie=segue_session, authorization=authorization)


async def admin(request: Request, user: Annotated[User, Depends(listener)]) -> User:
    """Return who asks; Refused (403) for who is no admin."""
    if not user.admin:
        raise Refused(403, "expected an admin")
    return user


House_ = Annotated[House, Depends(house)]
Me = Annotated[User, Depends(listener)]
Admin = Annotated[User, Depends(admin)]
TrackId = Annotated[m.Id, Path(description="of a track")]
Limit = Annotated[int, Query(ge=1, le=500)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]


@router.get("/state")
def state(at: House_, me: Me) -> m.State:
    """Who is listening, and what there is."""
    return m.State(
        user=me.name,
        admin=me.admin,
        users=me.name != LOCAL,
        mongo=at.projection.online,
        waiting=at.producer.waiting,
        tracks=len(at.catalog.tracks),
        model_version=at.projection.champion(),
        genres=[m.Named(name=name, tracks=count) for name, count in at.catalog.genres[:60]],
        moods=list(m.MOODS),
    )


@router.get("/tracks")
def tracks(
    at: House_,
    me: Me,
    q: Annotated[m.Text, Query(description="beginnings of words of title, artist, album, genre")] = "",
    genre: Annotated[m.Text, Query(description="only of this genre")] = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> m.Tracks:
    """Search the collection; all of it without a query."""
    catalog, wanted = at.catalog, fold(genre)
    if wanted:
        found = [t for t in catalog.search(q) if wanted in (fold(name) for name in (t.genre, *t.genres))]
        page, total = found[offset : offset + limit], len(found)
    else:
        numbers = catalog.index.search(q)
        page, total = [catalog.tracks[n] for n in numbers[offset : offset + limit]], len(numbers)
    return m.Tracks(total=total, items=at.shown(page, at.accounts.ratings(me.name)))


@router.get("/tracks/{track_id}")
def track(at: House_, me: Me, track_id: TrackId) -> m.TrackOut:
    """One track."""
    return at.shown([at.track(track_id)], at.accounts.ratings(me.name))[0]


@router.get("/tracks/{track_id}/similar")
def similar(
    at: House_, me: Me, track_id: TrackId, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> m.Recommendations:
    """What sounds like a track, nearest first, each with how much."""
    seed = at.track(track_id)
    items = [{**item, "reason": _likeness(seed.title, item["score"])} for item in at.projection.similar(track_id)]
    found = at.listed(me.name, {"items": items, "model_version": at.projection.champion()}, personal=False)
    found.items = found.items[:limit]
    return found


def _likeness(title: str, score: float) -> str:
    how = "sounds very much like" if score >= 0.8 else "sounds like" if score >= 0.5 else "is a little like"
    return f"{how} {title}"


@router.head("/tracks/{track_id}/audio", include_in_schema=False)
@router.get(
    "/tracks/{track_id}/audio",
    response_class=FileResponse,
    responses={200: {"content": {"audio/*": {}}}, 206: {"description": "the part that Range asks for"}, 416: {}},
)
def audio(at: House_, _: Me, track_id: TrackId) -> FileResponse:
    """The track's file; a Range is answered by 206."""
    return file_response(at, at.track(track_id))


@router.get(
    "/tracks/{track_id}/cover",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, 304: {"description": "as the sender has it"}},
)
def cover(
    at: House_,
    _: Me,
    track_id: TrackId,
    size: Annotated[int, Query(ge=1, le=SIZES[-1])] = 300,
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The cover in the file, else a drawn one; JPEG, square."""
    found = at.track(track_id)
    tag = f'"{at.catalog.version}-{size}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=86400"}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    return Response(at.covers.jpeg(found, at.catalog.audio_file(found), size), media_type="image/jpeg", headers=headers)


@router.get("/artists/{artist_id}")
def artist(at: House_, me: Me, artist_id: m.Id) -> m.Artist:
    """An artist's tracks."""
    albums = at.catalog.artists.get(artist_id)
    if albums is None:
        raise Refused(404, f"expected the id of an artist, found {ascii(artist_id)[:80]}")
    ratings = at.accounts.ratings(me.name)
    return m.Artist(
        id=artist_id,
        name=albums[0].artist,
        blocked=albums[0].artist in at.accounts.blocked(me.name),
        tracks=[shown for album in albums for shown in at.shown(list(album.tracks), ratings)],
    )


@router.get("/albums/{album_id}")
def album(at: House_, me: Me, album_id: m.Id) -> m.AlbumOut:
    """An album's tracks."""
    found = at.catalog.albums.get(album_id)
    if found is None:
        raise Refused(404, f"expected the id of an album, found {ascii(album_id)[:80]}")
    shown = at.shown(list(found.tracks), at.accounts.ratings(me.name))
    return m.AlbumOut(id=album_id, name=found.name, artist=found.artist, artist_id=found.artist_id, tracks=shown)


@router.get("/recommendations", response_model=m.Recommendations)
async def recommendations(request: Request, at: House_, me: Me) -> Response:
    """What to play next, each with its reason; the curated list for who has not played anything."""
    fresh, _ = at.projection.kept("recommendations", me.name)
    found = at.recommendations(me.name) if fresh else await _in_thread(at.recommendations, me.name)
    return Response(found.model_dump_json(), media_type="application/json")


async def _in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await run_sync(function, *arguments)


@router.get("/curated")
def curated(at: House_, me: Me) -> m.Recommendations:
    """The list that greets everyone."""
    return at.curated(me.name)


@router.post("/radio")
def radio(at: House_, me: Me, wanted: m.RadioWanted) -> m.Tracks:
    """The next tracks of a radio. Nothing is kept here: send what has been played, and it goes on without a repeat."""
    catalog = at.catalog
    seeds = [s for s in (wanted.track_id, wanted.artist_id, wanted.genre, wanted.mood) if s is not None]
    if len(seeds) != 1:
        raise Refused(422, f"expected one of track_id, artist_id, genre, mood, found {len(seeds)}")
    if wanted.track_id is not None:
        start = [at.track(wanted.track_id)]
    elif wanted.artist_id is not None:
        start = [t for each in catalog.artists.get(wanted.artist_id, ()) for t in each.tracks]
    elif wanted.genre is not None:
        start = [t for t in catalog.tracks if fold(wanted.genre) in (fold(name) for name in (t.genre, *t.genres))]
    else:
        start = catalog.known(at.radio.mood(wanted.mood or ""))
    if not start:
        raise Refused(404, "expected something to start from, found no such track")
    ratings = at.accounts.ratings(me.name)
    disliked, artists = at.never(me.name, ratings)
    never = disliked | {t.track_id for t in catalog.tracks if t.artist in artists} if artists else disliked
    champion = at.projection.champion()
    found = at.radio.next(catalog, champion, start, wanted.played, never, wanted.count, salt=wanted.salt)
    return m.Tracks(total=len(found), items=at.shown(found, ratings))


@router.post("/events", status_code=202)
def event(at: House_, me: Me, given: m.PlayEvent) -> m.Accepted:
    """Take a play event: it is on the disk when this answers, and in Kafka as soon as Kafka is there."""
    return m.Accepted(event_id=at.accept(me, given.model_dump()))


@router.put("/tracks/{track_id}/rating")
def rate(at: House_, me: Me, track_id: TrackId, rating: m.Rating) -> m.TrackOut:
    """Like or dislike a track, or take it back."""
    found = at.track(track_id)
    at.rate(me, track_id, rating.liked)
    return at.shown([found], at.accounts.ratings(me.name))[0]


@router.get("/liked")
def liked(at: House_, me: Me) -> m.Tracks:
    """What the listener likes, the latest first."""
    ratings = at.accounts.ratings(me.name)
    found = at.catalog.known(each for each, good in ratings.items() if good)
    return m.Tracks(total=len(found), items=at.shown(found, ratings))


@router.put("/artists/{artist_id}/blocked")
def block(at: House_, me: Me, artist_id: m.Id, blocking: m.Blocking) -> m.ArtistName:
    """Never play an artist to me, or do so again."""
    albums = at.catalog.artists.get(artist_id)
    if albums is None:
        raise Refused(404, f"expected the id of an artist, found {ascii(artist_id)[:80]}")
    at.accounts.block(me.name, albums[0].artist, blocking.blocked)
    return m.ArtistName(id=artist_id, name=albums[0].artist)


@router.get("/blocked")
def blocked(at: House_, me: Me) -> list[m.ArtistName]:
    """The artists that are never played to me."""
    names = set(at.accounts.blocked(me.name))
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
    ratings = at.accounts.ratings(me.name)
    rows = at.accounts.history(me.name, most=limit, before=before)
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


@router.get("/map")
def collection_map(at: House_, _: Me) -> m.Map:
    """The collection in two dimensions."""
    version, known = at.projection.champion(), at.catalog.by_id
    found = m.Map(model_version=version, ids=[], x=[], y=[], clusters=[])
    about = at.projection.read("settings", "map") or {}
    for number in range(about.get("parts", 0)):
        part = at.projection.read("map", f"{about['model_version']}:{number}")
        for track_id, x, y, cluster in (
            zip(*(part[n] for n in ("ids", "x", "y", "clusters")), strict=True) if part else ()
        ):
            if track_id in known:
                found.ids.append(track_id)
                found.x.append(x)
                found.y.append(y)
                found.clusters.append(cluster)
    return found


@router.get("/live", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def live(
    at: House_, me: Me, last_event_id: Annotated[str | None, Header(include_in_schema=False)] = None
) -> StreamingResponse:
    """Server-sent events: `recommendations` when they change, `state` when MongoDB comes or goes, `collection`."""
    assert at.hub is not None
    first = [message("state", {"mongo": at.projection.online})]
    document = await _in_thread(at.projection.read, "recommendations", me.name)
    seen = mark(document) if document else None
    if document and seen != last_event_id:
        first.append(message("recommendations", at.listed(me.name, document).model_dump(), seen))
    stream = at.hub.stream(
        me.name,
        first,
        seen=seen,
        opened=lambda: at.projection.listen(me.name, seen),
        closed=lambda: at.projection.leave(me.name),
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


# --- login, app passwords, users ---


@router.post("/login")
def login(request: Request, at: House_, given: m.Login, response: Response) -> m.UserOut:
    """Begin a session: a cookie that no script can read."""
    client = request.client.host if request.client else ""
    for key in (f"from {client}", f"as {given.name}"):
        at.login_limit.take(key)
    token = at.accounts.login(given.name, given.password)
    if token is None:
        raise Refused(401, "expected a name and its password, found no such pair")
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, max_age=30 * 86_400, httponly=True, samesite="strict", secure=secure, path="/")
    user = at.accounts.user_of(token)
    return m.UserOut(name=given.name, admin=bool(user and user.admin))


@router.post("/logout", status_code=204)
def logout(
    at: House_, response: Response, segue_session: Annotated[str | None, Cookie(include_in_schema=False)] = None
) -> None:
    """End this session."""
    if segue_session:
        at.accounts.logout(segue_session)
    response.delete_cookie(COOKIE, path="/")


@router.get("/clients")
def clients(at: House_, me: Me) -> list[m.ClientOut]:
    """My app passwords, without the secrets."""
    return [m.ClientOut(id=c.client_id, label=c.label, created=c.created) for c in at.accounts.clients(me.name)]


@router.post("/clients", status_code=201)
def add_client(at: House_, me: Me, given: m.NewClient) -> m.ClientOut:
    """Make an app password for one client; it is also that client's API key and token."""
    if len(at.accounts.clients(me.name)) >= 50:
        raise Refused(403, "expected at most 50 app passwords; take one back first")
    made = at.accounts.add_client(me.name, given.label)
    return m.ClientOut(id=made.client_id, label=made.label, created=made.created, secret=made.secret)


@router.delete("/clients/{client_id}", status_code=204)
def remove_client(at: House_, me: Me, client_id: m.Id) -> None:
    """Take an app password back."""
    if not at.accounts.remove_client(me.name, client_id):
        raise Refused(404, "expected the id of an app password of yours")


@router.get("/users")
def users(at: House_, _: Admin) -> list[m.UserOut]:
    """All users; for admins."""
    return [m.UserOut(name=name, admin=is_admin) for name, is_admin in at.accounts.names()]


@router.post("/users", status_code=201)
def add_user(at: House_, _: Admin, given: m.NewUser) -> m.UserOut:
    """Add a user; for admins."""
    try:
        at.accounts.add(given.name, given.password, admin=given.admin)
    except InputError as error:
        raise Refused(422, str(error)) from error
    return m.UserOut(name=given.name, admin=given.admin)


@router.delete("/users/{name}", status_code=204)
def remove_user(at: House_, me: Admin, name: m.Id) -> None:
    """Remove a user; for admins, who cannot remove themselves."""
    if name == me.name:
        raise Refused(403, "expected another user than yourself")
    try:
        at.accounts.remove(name)
    except InputError as error:
        raise Refused(404, str(error)) from error


# --- how it is ---


@router.get("/health")
def health(request: Request) -> m.Health:
    """Whether tracks can be played, and what is away; needs no login."""
    at: House = request.app.state.house
    return m.Health(
        ok=bool(at.catalog.tracks),
        tracks=len(at.catalog.tracks),
        mongo=at.projection.online,
        kafka=not at.producer.waiting,
        waiting=at.producer.waiting,
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(at: House_, me: Me) -> Response:
    """Counts in Prometheus' format; for admins, and for who sits at this machine where there are no users."""
    if not me.admin and me.name != LOCAL:
        raise Refused(403, "expected an admin")
    return Response(at.metrics(), media_type="text/plain; version=0.0.4")
