"""Albums, artists and genres: pages of lists, and each with its tracks."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel

from serving import schemas as m
from serving.api.dependencies import CurrentUser, Limit, Offset, State
from serving.api.playlists import playlist_out
from serving.api.tracks import jpeg_response
from serving.app_state import AppState
from serving.catalog import Album, Artist, Track, one_per_artist
from serving.covers import SIZES
from serving.library_lists import Listing
from serving.problems import RequestError
from serving.recommendations import exclusions, tracks_out
from serving.search_index import normalize_text
from serving.similar_groups import nearest_groups

router = APIRouter()

IfNoneMatch = Annotated[str | None, Header(include_in_schema=False)]
NameQuery = Annotated[m.Text, Query(description="beginnings of words of the name")]
Reverse = Annotated[bool, Query(description="the other way round")]
SimilarLimit = Annotated[int, Query(ge=1, le=50)]
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "unchanged since that ETag"}}

# Tracks of an artist that are shown before the albums; covers of a genre.
_N_TOP, _N_GENRE_COVERS = 5, 4


def _versioned(state: AppState, if_none_match: str | None, build: Callable[[], BaseModel]) -> Response:
    """Return what depends on the catalog alone: 304 to a client that has it of this version."""
    headers = {"ETag": f'"{state.catalog.version}"', "Cache-Control": "private, no-cache"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(build().model_dump_json(), media_type="application/json", headers=headers)


def letters_out(listing: Listing[Any]) -> list[m.Letter]:
    """Return the letters of a listing as the API's model."""
    return [m.Letter(letter=letter, offset=offset) for letter, offset in listing.letters]


def album_out(state: AppState, album: Album) -> m.AlbumSummary:
    """Return an album without tracks as the API's model."""
    facts = state.lists.facts[album.album_id]
    return m.AlbumSummary.model_construct(
        id=album.album_id,
        name=album.name,
        artist=album.artist,
        artist_id=album.artist_id,
        year=facts.year,
        genre=facts.genre,
        tracks=len(album.tracks),
        duration_s=facts.duration_s,
    )


def artist_out(state: AppState, artist: Artist) -> m.ArtistSummary:
    """Return an artist without tracks as the API's model."""
    return m.ArtistSummary.model_construct(
        id=artist.artist_id,
        name=artist.name,
        albums=len(artist.all_albums),
        tracks=state.lists.track_counts[artist.artist_id],
        album_id=artist.all_albums[0].album_id,
    )


@router.get("/albums", response_model=m.Albums, responses=_UNCHANGED)
def albums(
    state: State,
    _: CurrentUser,
    sort: Literal["name", "artist", "year", "added"] = "name",
    q: NameQuery = "",
    genre: Annotated[m.Text, Query(description="with a track of this genre")] = "",
    reverse: Reverse = False,
    limit: Limit = 100,
    offset: Offset = 0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """One page of the albums."""

    def build() -> m.Albums:
        found = state.lists.albums(sort, query=q, genre=genre, reverse=reverse)
        page = [album_out(state, album) for album in found.items[offset : offset + limit]]
        return m.Albums.model_construct(total=len(found.items), letters=letters_out(found), items=page)

    return _versioned(state, if_none_match, build)


def _album(state: AppState, album_id: str) -> Album:
    album = state.catalog.albums.get(album_id)
    if album is None:
        raise RequestError(404, f"expected the id of an album, found {ascii(album_id)[:80]}")
    return album


@router.get("/albums/{album_id}")
def album(state: State, user: CurrentUser, album_id: m.Id) -> m.AlbumOut:
    """An album's tracks."""
    found = _album(state, album_id)
    facts = state.lists.facts[album_id]
    return m.AlbumOut(
        id=album_id,
        name=found.name,
        artist=found.artist,
        artist_id=found.artist_id,
        year=facts.year,
        genre=facts.genre,
        duration_s=facts.duration_s,
        tracks=tracks_out(list(found.tracks), state.feedback.ratings(user.name)),
    )


@router.get("/albums/{album_id}/similar")
def similar_albums(
    state: State, user: CurrentUser, album_id: m.Id, limit: SimilarLimit = 12
) -> list[m.AlbumSummary]:
    """Albums that sound like an album, the nearest first."""
    tracks = _album(state, album_id).tracks
    found = _nearest(state, user.name, tracks, lambda track: track.album_id, limit)
    return [album_out(state, state.catalog.albums[each]) for each in found]


@router.get(
    "/albums/{album_id}/cover",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **_UNCHANGED},
)
def album_cover(
    state: State,
    _: CurrentUser,
    album_id: m.Id,
    size: Annotated[int, Query(ge=1, le=SIZES[-1])] = 300,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The cover of an album's first track; square JPEG."""
    return jpeg_response(state, _album(state, album_id).tracks[0], size, if_none_match)


@router.get("/artists", response_model=m.Artists, responses=_UNCHANGED)
def artists(
    state: State,
    _: CurrentUser,
    sort: Literal["name", "tracks"] = "name",
    q: NameQuery = "",
    reverse: Reverse = False,
    limit: Limit = 100,
    offset: Offset = 0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """One page of the artists."""

    def build() -> m.Artists:
        found = state.lists.artists(sort, query=q, reverse=reverse)
        page = [artist_out(state, artist) for artist in found.items[offset : offset + limit]]
        return m.Artists.model_construct(total=len(found.items), letters=letters_out(found), items=page)

    return _versioned(state, if_none_match, build)


def _artist(state: AppState, artist_id: str) -> Artist:
    artist = state.catalog.artists.get(artist_id)
    if artist is None:
        raise RequestError(404, f"expected the id of an artist, found {ascii(artist_id)[:80]}")
    return artist


@router.get("/artists/{artist_id}")
def artist(state: State, user: CurrentUser, artist_id: m.Id) -> m.Artist:
    """An artist's albums and tracks."""
    found = _artist(state, artist_id)
    ratings, plays = state.feedback.ratings(user.name), state.feedback.play_counts(user.name)
    tracks = state.catalog.artist_tracks(artist_id)
    top = sorted(tracks, key=lambda t: (-plays.get(t.track_id, 0), not ratings.get(t.track_id)))[:_N_TOP]
    by_year = sorted(found.albums, key=lambda each: -(state.lists.facts[each.album_id].year or 0))
    return m.Artist(
        id=artist_id,
        name=found.name,
        blocked=found.name in state.feedback.blocked(user.name),
        top=tracks_out(top, ratings),
        albums=[album_out(state, each) for each in by_year],
        appears_on=[album_out(state, each) for each in found.appears_on],
        tracks=tracks_out(tracks, ratings),
    )


@router.get("/artists/{artist_id}/similar")
def similar_artists(
    state: State, user: CurrentUser, artist_id: m.Id, limit: SimilarLimit = 12
) -> list[m.ArtistSummary]:
    """Artists that sound like an artist, the nearest first."""
    tracks = state.catalog.artist_tracks(_artist(state, artist_id).artist_id)
    found = _nearest(state, user.name, tracks, lambda track: track.artist_id, limit)
    return [artist_out(state, state.catalog.artists[each]) for each in found]


def _nearest(
    state: AppState, user_id: str, seeds: Sequence[Track], group_of: Callable[[Track], str], count: int
) -> list[str]:
    """Return the groups nearest to the seeds, without artists that the user has blocked."""
    items = state.radio.item_catalog(state.catalog, state.online_store.champion())
    _, blocked = exclusions(state, user_id, {})
    return nearest_groups(items, state.catalog, seeds, group_of, count=count, excluded_artists=blocked)


@router.get("/genres", response_model=m.Genres, responses=_UNCHANGED)
def genres(state: State, _: CurrentUser, if_none_match: IfNoneMatch = None) -> Response:
    """All genres, the largest first."""
    return _versioned(state, if_none_match, lambda: m.Genres(_genres_out(state)))


def _genres_out(state: AppState) -> list[m.GenreOut]:
    found = []
    for name, count in state.catalog.genres:
        tracks = one_per_artist(state.catalog.by_genre(name), _N_GENRE_COVERS)
        albums = list(dict.fromkeys(track.album_id for track in tracks))
        found.append(m.GenreOut.model_construct(name=name, tracks=count, album_ids=albums))
    return found


@router.get("/search")
def search(
    state: State,
    user: CurrentUser,
    q: Annotated[m.Text, Query(description="prefixes of words")],
    limit: Annotated[int, Query(ge=1, le=50)] = 6,
) -> m.SearchResults:
    """Artists, albums and playlists whose names match a query, best first; for tracks see `/tracks`."""
    words = normalize_text(q).split()
    playlists = [
        each
        for each in state.playlists.list_playlists(user.name)
        if words and begin_words(normalize_text(each.title), words)
    ]
    return m.SearchResults(
        artists=[artist_out(state, each) for each in state.lists.search_artists(q)[:limit]],
        albums=[album_out(state, each) for each in state.lists.search_albums(q)[:limit]],
        playlists=[playlist_out(state, each) for each in playlists[:limit]],
    )


def begin_words(text: str, words: Sequence[str]) -> bool:
    """Return whether each of the words begins a word of a normalized text."""
    return all(any(part.startswith(word) for part in text.split()) for word in words)
