"""The web application: routes, middleware, errors as problem+json, the page."""

import asyncio
import gzip
import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from jobs.lake.storage import Lake
from jobs.plays import spool
from jobs.plays.producer import Producer
from jobs.runtime import embedded_kafka
from serving import api, catalog, listenbrainz, share_page
from serving.app_state import AppState
from serving.db.database import Database
from serving.middleware import SecurityMiddleware
from serving.problems import problem_response
from serving.subsonic import router as subsonic

log = logging.getLogger("segue")

STATIC = Path(__file__).parent / "static"


def create_app(lake: Path, *, store: str | None = None, mongo: str | None, kafka: str | None) -> Any:
    """Return the ASGI application over a lake.

    Parameters
    ----------
    lake
        The lake's folder.
    store
        Address of its tables in an object store; None: they are in the folder.
    mongo
        Address of MongoDB; None for the embedded server.
    kafka
        Address of Kafka; None for the embedded broker.
    """
    root = Lake(lake, store)
    # The embedded broker may start later than this server, and on another port than before.
    address = kafka or partial(embedded_kafka.find_embedded, lake)
    state = AppState(root, Database(lake), Producer(address, spool.spool_dir(lake)), catalog.load(root))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.open(mongo, asyncio.get_running_loop())
        await asyncio.to_thread(state.online_store.wait_connected, 10.0)
        yield
        await asyncio.to_thread(state.close)

    app = FastAPI(
        title="Segue",
        summary="Plays a folder of music and always knows a good next track.",
        version="0.2",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.app_state = state
    for each in (api, subsonic, listenbrainz, share_page):
        app.include_router(each.router)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(sqlite3.OperationalError, _disk_full)
    app.add_exception_handler(Exception, _unexpected_error)
    app.get("/", include_in_schema=False)(_page)
    app.get("/service_worker.js", include_in_schema=False)(_service_worker)
    app.mount("/static", _Modules(directory=STATIC), name="static")
    return SecurityMiddleware(
        app,
        has_users=state.accounts.has_users,
        error_response=lambda refused: problem_response(
            refused.status_code, str(refused), dict(refused.headers or {})
        ),
        record_request=state.metrics.count_request,
    )


class _Modules(StaticFiles):
    """The page's modules, revalidated at each load: after an upgrade old and new ones must not mix.

    Text is compressed for browsers that take gzip.
    """

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Any, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        is_text = Path(full_path).suffix in (".js", ".css", ".svg")
        accepts = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        if not (is_text and accepts and isinstance(response, FileResponse)):
            return response
        headers = {name: response.headers[name] for name in ("cache-control", "last-modified")}
        # A weak tag: the bytes differ from those of the same file without compression.
        headers |= {"etag": f"W/{response.headers['etag']}", "content-encoding": "gzip"}
        headers["vary"] = "Accept-Encoding"
        compressed = _compressed(str(full_path), stat_result.st_mtime_ns)
        return Response(compressed, status_code, headers, response.media_type)


@lru_cache(maxsize=256)
def _compressed(path: str, _mtime_ns: int) -> bytes:
    return gzip.compress(Path(path).read_bytes(), mtime=0)


def _service_worker() -> Response:
    """Return the service worker, which differs as soon as one of the page's files does."""
    files = sorted(path for path in STATIC.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    worker = STATIC / "service_worker.js"
    paths = [f"/static/{path.relative_to(STATIC).as_posix()}" for path in files if path != worker]
    start = f"const VERSION = {json.dumps(digest.hexdigest()[:16])};\nconst FILES = {json.dumps(paths)};\n"
    return Response(
        start + worker.read_text("utf-8"), media_type="text/javascript", headers={"Cache-Control": "no-cache"}
    )


def _page() -> Response:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def _invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return problem_response(400, "body: expected JSON, found something else")
    expected = first["msg"].removeprefix("Input should be ").removeprefix("String should ")
    return problem_response(422, f"{where}: expected {expected}, found {ascii(first.get('input'))[:80]}")


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(error.status_code, str(error.detail), dict(error.headers or {}))


def _disk_full(_: Request, error: Exception) -> Response:
    log.error("the accounts database could not be written: %s", error)
    return problem_response(507, "expected space on the lake's disk, found that a change could not be saved")


def _unexpected_error(_: Request, error: Exception) -> Response:
    return problem_response(500, "an unexpected error; the server's log has the details")
