"""The public page of a share: its tracks with a player; audio and covers of these tracks alone, no login.

The link's secret is the permission: unguessable, revoked by `deleteShare`, void after its end.
"""

from html import escape
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse

from serving.api.dependencies import State
from serving.catalog import Track
from serving.db.shares import Share
from serving.media import SMALL, audio_response, browser_request
from serving.problems import RequestError

router = APIRouter(prefix="/share", include_in_schema=False)

ShareId = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=0, le=100_000)]

_HEADERS = {"Cache-Control": "private, no-store", "X-Robots-Tag": "noindex, nofollow"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/share.css">
<script type="module" src="/static/share.js"></script>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{about}</p>
<ol>
{rows}
</ol>
</main>
</body>
</html>
"""

_ROW = """<li>
<img src="{link}/{number}/cover" alt="" width="64" height="64" loading="lazy">
<div><strong>{title}</strong> <span>{artist}</span>
<audio controls preload="none" src="{link}/{number}/audio" aria-label="{title} by {artist}"></audio></div>
</li>"""


@router.get("/{share_id}")
def page(request: Request, state: State, share_id: ShareId) -> Response:
    """The page of a share."""
    share = _open(state, share_id)
    known = state.catalog.by_id
    tracks = [(number, known[each]) for number, each in enumerate(share.tracks) if each in known]
    state.shares.count_visit(share_id)
    rows = "\n".join(_row(share_id, number, track) for number, track in tracks)
    count = f"{len(tracks)} track{'' if len(tracks) == 1 else 's'}, shared by {share.name}"
    title = share.description or _title([track for _, track in tracks])
    return HTMLResponse(_PAGE.format(title=escape(title), about=escape(count), rows=rows), headers=_HEADERS)


@router.head("/{share_id}/{number}/audio")
@router.get("/{share_id}/{number}/audio")
def audio(state: State, share_id: ShareId, number: Number) -> Response:
    """The audio of one of the share's tracks: the compressed file, or what a browser plays instead."""
    track = _track(state, share_id, number)
    return audio_response(state, track, browser_request(track, SMALL))


@router.get("/{share_id}/{number}/cover")
def cover(state: State, share_id: ShareId, number: Number) -> Response:
    """The cover of one of the share's tracks."""
    track = _track(state, share_id, number)
    picture = state.covers.jpeg(state.catalog, track, 300)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def _open(state: State, share_id: str) -> Share:
    share = state.shares.open(share_id)
    if share is None:
        raise RequestError(404, "expected the link of a share, found none that is valid: it may have expired")
    return share


def _track(state: State, share_id: str, number: int) -> Track:
    share = _open(state, share_id)
    if number >= len(share.tracks):
        raise RequestError(404, f"expected a track 0 to {len(share.tracks) - 1}, found {number}")
    return state.track(share.tracks[number])


def _title(tracks: list[Track]) -> str:
    albums = {(track.artist, track.album) for track in tracks}
    if len(tracks) == 1:
        return f"{tracks[0].artist} – {tracks[0].title}"
    if len(albums) == 1:
        return " – ".join(albums.pop())
    return "Shared music"


def _row(share_id: str, number: int, track: Track) -> str:
    link = f"/share/{escape(share_id)}"
    return _ROW.format(link=link, number=number, title=escape(track.title), artist=escape(track.artist))
