"""Search, tracks with audio and covers, artists, albums, the map."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import FileResponse

from serving import schemas as m
from serving.api.dependencies import CurrentUser, Limit, Offset, State, TrackId
from serving.catalog import normalize_text
from serving.covers import SIZES
from serving.media import ORIGINAL, SMALL, audio_response, browser_request
from serving.problems import RequestError
from serving.recommendations import to_recommendations, tracks_out

router = APIRouter()


@router.get("/tracks")
def tracks(
    state: State,
    user: CurrentUser,
    q: Annotated[m.Text, Query(description="prefixes of words in title, artist, album, genre")] = "",
    genre: Annotated[m.Text, Query(description="only of this genre")] = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> m.Tracks:
    """Search the collection; all tracks without a query."""
    catalog = state.catalog
    if normalize_text(genre):
        of_genre = {track.track_id for track in catalog.by_genre(genre)}
        found = [track for track in catalog.search(q) if track.track_id in of_genre]
        page, total = found[offset : offset + limit], len(found)
    else:
        numbers = catalog.index.search(q)
        page, total = [catalog.tracks[n] for n in numbers[offset : offset + limit]], len(numbers)
    return m.Tracks(total=total, items=tracks_out(page, state.feedback.ratings(user.name)))


@router.get("/tracks/{track_id}")
def track(state: State, user: CurrentUser, track_id: TrackId) -> m.TrackOut:
    """One track."""
    return tracks_out([state.track(track_id)], state.feedback.ratings(user.name))[0]


@router.get("/tracks/{track_id}/similar")
def similar(
    state: State, user: CurrentUser, track_id: TrackId, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> m.Recommendations:
    """Similar tracks with their similarity, nearest first."""
    seed = state.track(track_id)
    items = [
        {**item, "reason": _similarity_reason(seed.title, item["score"])}
        for item in state.online_store.similar(track_id)
    ]
    found = to_recommendations(
        state, user.name, {"items": items, "model_version": state.online_store.champion()}, personal=False
    )
    found.items = found.items[:limit]
    return found


def _similarity_reason(title: str, score: float) -> str:
    how = "sounds very much like" if score >= 0.8 else "sounds like" if score >= 0.5 else "is a little like"
    return f"{how} {title}"


@router.head("/tracks/{track_id}/audio", include_in_schema=False)
@router.get(
    "/tracks/{track_id}/audio",
    response_class=FileResponse,
    responses={
        200: {"content": {"audio/*": {}}},
        206: {"description": "the requested Range"},
        416: {},
    },
)
def audio(
    state: State,
    _: CurrentUser,
    track_id: TrackId,
    quality: m.Quality = "original",
) -> Response:
    """The track's audio file, of an original that browsers do not play another; a Range gets 206."""
    track = state.track(track_id)
    wanted = SMALL if quality == "small" else ORIGINAL
    return audio_response(state, track, browser_request(track, wanted))


@router.get(
    "/tracks/{track_id}/cover",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, 304: {"description": "unchanged"}},
)
def cover(
    state: State,
    _: CurrentUser,
    track_id: TrackId,
    size: Annotated[int, Query(ge=1, le=SIZES[-1])] = 300,
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The cover of the track's album: in a file, beside it, else a generated one; square JPEG."""
    found = state.track(track_id)
    tag = f'"{state.catalog.version}-{size}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=86400"}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    return Response(
        state.covers.jpeg(state.catalog, found, size),
        media_type="image/jpeg",
        headers=headers,
    )


@router.get("/artists/{artist_id}")
def artist(state: State, user: CurrentUser, artist_id: m.Id) -> m.Artist:
    """An artist's tracks."""
    found = state.catalog.artists.get(artist_id)
    if found is None:
        raise RequestError(404, f"expected the id of an artist, found {ascii(artist_id)[:80]}")
    ratings = state.feedback.ratings(user.name)
    return m.Artist(
        id=artist_id,
        name=found.name,
        blocked=found.name in state.feedback.blocked(user.name),
        tracks=tracks_out(state.catalog.artist_tracks(artist_id), ratings),
    )


@router.get("/albums/{album_id}")
def album(state: State, user: CurrentUser, album_id: m.Id) -> m.AlbumOut:
    """An album's tracks."""
    found = state.catalog.albums.get(album_id)
    if found is None:
        raise RequestError(404, f"expected the id of an album, found {ascii(album_id)[:80]}")
    items = tracks_out(list(found.tracks), state.feedback.ratings(user.name))
    return m.AlbumOut(
        id=album_id, name=found.name, artist=found.artist, artist_id=found.artist_id, tracks=items
    )


@router.get("/map")
def collection_map(state: State, _: CurrentUser) -> m.CollectionMap:
    """The collection in two dimensions."""
    version, known = state.online_store.champion(), state.catalog.by_id
    found = m.CollectionMap(model_version=version, ids=[], x=[], y=[], clusters=[])
    about = state.online_store.read("state", "map") or {}
    for number in range(about.get("parts", 0)):
        part = state.online_store.read("map", f"{about['model_version']}:{number}")
        for track_id, x, y, cluster in (
            zip(*(part[n] for n in ("ids", "x", "y", "clusters")), strict=True) if part else ()
        ):
            if track_id in known:
                found.ids.append(track_id)
                found.x.append(x)
                found.y.append(y)
                found.clusters.append(cluster)
    return found
