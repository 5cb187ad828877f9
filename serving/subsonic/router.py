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
    media_annotation,
    media_retrieval,
    playlists,
    searching,
    sonic_similarity,
    system,
)
from serving.subsonic.authentication import authenticate
from serving.subsonic.protocol import (
    CLIENT_TOO_OLD,
    GENERIC,
    METHODS,
    NOT_FOUND,
    SERVER_TOO_OLD,
    VERSION,
    Query,
    SubsonicError,
    SubsonicRequest,
    render,
)

# Each registers its methods in METHODS when it is imported.
CHAPTERS = (
    *(album_lists, bookmarks, browsing, media_annotation, media_retrieval),
    *(playlists, searching, sonic_similarity, system),
)

# Parameters of one request; a playlist may have half as many tracks.
_MAX_PARAMETERS = 10_000

router = APIRouter(include_in_schema=False)


@router.api_route("/rest/{name}", methods=["GET", "POST", "HEAD"])
async def handle(request: Request, name: str) -> Response:
    """Answer one request, in XML or, with `f=json`, in JSON."""
    values = _parameters(request.url.query)
    if request.method == "POST":
        for key, more in _parameters((await request.body()).decode("utf-8", "replace")).items():
            values.setdefault(key, []).extend(more)
    return await run_sync(_answer, request, name.removesuffix(".view"), Query(values))


def _parameters(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise RequestError(400, f"expected at most {_MAX_PARAMETERS} parameters, found more") from None


@router.options("/rest/{name}")
async def preflight(name: str) -> Response:
    """Allow web clients of other origins: they use app passwords, and no cookie is accepted here."""
    return Response(status_code=204, headers={"Access-Control-Max-Age": "86400"})


def _answer(request: Request, name: str, query: Query) -> Response:
    try:
        if name == "getOpenSubsonicExtensions":  # requested before a login
            return render(query, system.extensions())
        _check_version(query.text("v", VERSION))
        user = authenticate(request.app.state.app_state, query, request)
        if name not in METHODS:
            raise SubsonicError(GENERIC, f"expected a supported method, found {ascii(name)[:40]}")
        found = METHODS[name](SubsonicRequest(request.app.state.app_state, user, query, name))
        return found if isinstance(found, Response) else render(query, found)
    except SubsonicError as error:
        return _failed(query, error.code, str(error))
    except InputError as error:
        return _failed(query, GENERIC, str(error))
    except RequestError as refused:
        if refused.status_code == 429:
            raise
        return _failed(query, NOT_FOUND if refused.status_code == 404 else GENERIC, str(refused))


def _failed(query: Query, code: int, text: str) -> Response:
    error: dict[str, Any] = {"code": code, "message": text}
    return render(query, {"error": error}, status="failed")


def _check_version(text: str) -> None:
    """Refuse clients of another major version; a missing or odd version is accepted."""
    major = text.partition(".")[0]
    if major.isascii() and major.isdecimal() and major != VERSION[0]:
        code = SERVER_TOO_OLD if int(major[:9]) > int(VERSION[0]) else CLIENT_TOO_OLD
        raise SubsonicError(code, f"expected a client of version {VERSION}, found {text[:20]}")
