"""The OpenSubsonic API under /rest (https://opensubsonic.netlify.app/docs/), as far as real clients need it.

Scrobbles become play events. Errors are Subsonic's own, with status 200.
"""

from typing import Any
from urllib.parse import parse_qs

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from jobs.errors import InputError
from serving.problems import RequestError
from serving.subsonic import (
    album_lists,
    bookmarks,
    browsing,
    lyrics,
    media_annotation,
    media_retrieval,
    playback_report,
    playlists,
    radio_stations,
    searching,
    sharing,
    sonic_similarity,
    system,
    transcode_decision,
)
from serving.subsonic.authentication import authenticate
from serving.subsonic.protocol import (
    GENERIC,
    METHODS,
    NOT_FOUND,
    Query,
    SubsonicError,
    SubsonicRequest,
    render,
)

# Each registers its methods in METHODS when it is imported.
CHAPTERS = (
    *(album_lists, bookmarks, browsing, lyrics, media_annotation, media_retrieval),
    *(playback_report, playlists, radio_stations, searching, sharing),
    *(sonic_similarity, system, transcode_decision),
)

# The binary methods of an extension report errors by HTTP's status.
_HTTP_ERRORS = ("getTranscodeStream",)

# Parameters of one request; a playlist may have half as many tracks.
_MAX_PARAMETERS = 10_000

router = APIRouter(include_in_schema=False)


@router.api_route("/rest/{name}", methods=["GET", "POST", "HEAD"])
async def handle(request: Request, name: str) -> Response:
    """Answer one request, in XML or, with `f=json`, in JSON."""
    values = _parameters(request.url.query)
    body = await request.body() if request.method == "POST" else b""
    if "json" not in request.headers.get("content-type", ""):
        for key, more in _parameters(body.decode("utf-8", "replace")).items():
            values.setdefault(key, []).extend(more)
    return await run_sync(_answer, request, name.removesuffix(".view"), Query(values), body)


def _parameters(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise RequestError(400, f"expected at most {_MAX_PARAMETERS} parameters, found more") from None


@router.options("/rest/{name}")
async def preflight(name: str) -> Response:
    """Allow web clients of other origins: they use app passwords, and no cookie is accepted here."""
    return Response(status_code=204, headers={"Access-Control-Max-Age": "86400"})


def _answer(request: Request, name: str, query: Query, body: bytes) -> Response:
    try:
        if name == "getOpenSubsonicExtensions":  # requested before a login
            return render(query, system.extensions())
        # The client's version `v` is not compared: clients of 0.9 and of 2.0 work as well.
        user = authenticate(request.app.state.app_state, query, request)
        if name in system.UNSUPPORTED:
            error = {"code": GENERIC, "message": f"{name}: Segue has nothing of this kind"}
            return render(query, {"error": error}, "failed", status_code=system.UNSUPPORTED[name])
        if name not in METHODS:
            raise SubsonicError(GENERIC, f"expected a supported method, found {ascii(name)[:40]}")
        given = SubsonicRequest(
            request.app.state.app_state,
            user,
            query,
            name,
            base_url=str(request.base_url),
            body=body,
            if_none_match=request.headers.get("if-none-match", ""),
        )
        found = METHODS[name](given)
        return found if isinstance(found, Response) else render(query, found)
    except SubsonicError as error:
        return _failed(query, error.code, str(error))
    except InputError as error:
        return _failed(query, GENERIC, str(error))
    except RequestError as refused:
        if refused.status_code == 429 or name in _HTTP_ERRORS:
            raise
        return _failed(query, NOT_FOUND if refused.status_code == 404 else GENERIC, str(refused))


def _failed(query: Query, code: int, text: str) -> Response:
    error: dict[str, Any] = {"code": code, "message": text}
    return render(query, {"error": error}, status="failed")
