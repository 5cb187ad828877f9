"""Search, tracks with their audio and covers."""

import random
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import FileResponse

from serving import schemas as m
from serving.api.dependencies import CurrentUser, Limit, Offset, State, TrackId
from serving.app_state import AppState
from serving.catalog import Track, normalize_text
from serving.covers import SIZES
from serving.explanations import explain
from serving.lyrics import lyrics_of
from serving.media import ORIGINAL, SMALL, audio_response, browser_request
from serving.recommendations import exclusions, is_blocked, to_recommendations, tracks_out

router = APIRouter()


@router.get("/tracks")
def tracks(
    state: State,
    user: CurrentUser,
    q: Annotated[m.Text, Query(description="prefixes of words in title, artist, album, genre")] = "",
    genre: Annotated[m.Text, Query(description="only of this genre")] = "",
    sort: Annotated[
        Literal["", "title", "artist", "album", "year", "duration"],
        Query(description="best matches first without it"),
    ] = "",
    reverse: bool = False,
    limit: Limit = 50,
    offset: Offset = 0,
) -> m.Tracks:
    """Search the collection; all tracks without a query."""
    catalog = state.catalog
    letters: list[m.Letter] = []
    if sort:
        listing = state.lists.tracks(sort, query=q, genre=genre, reverse=reverse)
        page, total = list(listing.items[offset : offset + limit]), len(listing.items)
        letters = [m.Letter(letter=letter, offset=place) for letter, place in listing.letters]
    elif normalize_text(genre):
        of_genre = {track.track_id for track in catalog.by_genre(genre)}
        found = [track for track in catalog.search(q) if track.track_id in of_genre]
        page, total = found[offset : offset + limit], len(found)
    else:
        numbers = catalog.index.search(q)
        page, total = [catalog.tracks[n] for n in numbers[offset : offset + limit]], len(numbers)
    return m.Tracks(total=total, letters=letters, items=tracks_out(page, state.feedback.ratings(user.name)))


@router.get("/tracks/random")
def random_tracks(
    state: State,
    user: CurrentUser,
    genre: Annotated[m.Text, Query(description="only of this genre")] = "",
    count: Annotated[int, Query(ge=1, le=500)] = 100,
) -> m.Tracks:
    """Tracks at random, none of them disliked or of a blocked artist."""
    ratings = state.feedback.ratings(user.name)
    disliked, blocked = exclusions(state, user.name, ratings)
    among = [
        track
        for track in (state.catalog.by_genre(genre) if normalize_text(genre) else state.catalog.tracks)
        if track.track_id not in disliked and not is_blocked(track, blocked)
    ]
    return m.Tracks(total=len(among), items=tracks_out(random.sample(among, min(count, len(among))), ratings))


@router.post("/tracks/list")
def tracks_of_ids(state: State, user: CurrentUser, body: m.TrackIds) -> m.Tracks:
    """The tracks of these ids, in this order; those that are not in the collection are left out."""
    found = state.catalog.by_ids(body.tracks)
    return m.Tracks(total=len(found), items=tracks_out(found, state.feedback.ratings(user.name)))


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


@router.get("/tracks/{track_id}/why")
def why(state: State, user: CurrentUser, track_id: TrackId) -> m.Explanation:
    """My own tracks that lead to this one, by sound and by common listeners."""
    return explain(state, user.name, state.track(track_id))


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
    download: Annotated[bool, Query(description="with the file's name, to be saved")] = False,
) -> Response:
    """The track's audio file, of an original that browsers do not play another; a Range gets 206."""
    track = state.track(track_id)
    wanted = SMALL if quality == "small" else ORIGINAL
    if download:
        return audio_response(state, track, wanted, is_download=True)
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
    return jpeg_response(state, state.track(track_id), size, if_none_match)


def jpeg_response(state: AppState, track: Track, size: int, if_none_match: str | None) -> Response:
    """Return a track's cover; 304 to a client that has it of this version of the catalog."""
    tag = f'"{state.catalog.version}-{size}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=86400"}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    return Response(
        state.covers.jpeg(state.catalog, track, size),
        media_type="image/jpeg",
        headers=headers,
    )


@router.get("/tracks/{track_id}/lyrics")
def lyrics(state: State, _: CurrentUser, track_id: TrackId) -> m.LyricsOut:
    """The lyrics in the file or beside it, with times where they are known."""
    for found in lyrics_of(state.catalog, state.track(track_id)):
        shift_ms = found.offset_ms
        lines = [
            m.LyricsLine(
                start_s=None if line.start_ms is None else max(0, line.start_ms - shift_ms) / 1000,
                text=line.text,
            )
            for line in found.lines
        ]
        return m.LyricsOut(synced=found.is_synced, lines=lines)
    return m.LyricsOut(synced=False, lines=[])


@router.get("/tracks/{track_id}/gain")
def gain(state: State, _: CurrentUser, track_id: TrackId) -> m.Gain:
    """The track's ReplayGain."""
    details = state.catalog.details.row(state.track(track_id).row)
    return m.Gain(track_gain_db=details["track_gain_db"], album_gain_db=details["album_gain_db"])
