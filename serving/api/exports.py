"""My playlists and plays as files for other programs."""

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from serving import exports
from serving import schemas as m
from serving.api.dependencies import CurrentUser, State
from serving.listens import history
from serving.media import attachment
from serving.problems import RequestError

router = APIRouter(prefix="/export")

PlaylistFormat = Annotated[Literal["m3u8", "jspf"], Query(description="M3U8, or JSPF")]

_TYPES = {"m3u8": "audio/x-mpegurl", "jspf": "application/jspf+json"}


@router.get(
    "/playlists/{playlist_id}",
    response_class=Response,
    responses={200: {"content": {media_type: {} for media_type in _TYPES.values()}}},
)
def export_playlist(
    state: State, user: CurrentUser, playlist_id: m.Id, format: PlaylistFormat = "m3u8"
) -> Response:
    """A playlist of mine; places are relative to the library's folder."""
    playlist = state.playlists.get(user.name, playlist_id)
    if playlist is None:
        raise RequestError(404, f"expected the id of a playlist of yours, found {ascii(playlist_id)[:80]}")
    if format == "m3u8":
        text = exports.m3u8(state.catalog, playlist)
    else:
        text = json.dumps(exports.jspf(state.catalog, playlist, user.name), ensure_ascii=False, indent=1)
    headers = {"Content-Disposition": attachment(f"{playlist.title}.{format}")}
    content = text.encode("utf-8", "replace")
    return Response(content, headers=headers, media_type=_TYPES[format])


@router.get(
    "/listens",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def export_listens(state: State, user: CurrentUser) -> StreamingResponse:
    """Every play that I finished, as ListenBrainz' JSON lines; `segue import-plays` reads them."""
    name = f"listens-{user.name}-{exports.file_stamp(datetime.now(UTC))}.jsonl"
    headers = {"Content-Disposition": attachment(name)}
    lines = exports.listen_lines(history(state, user.name))
    return StreamingResponse(lines, headers=headers, media_type="application/x-ndjson")
