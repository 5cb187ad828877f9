"""The application: parts together, errors as problem+json, the page."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from jobs.lake.storage import Lake
from jobs.plays import spool
from jobs.plays.producer import Producer
from jobs.runtime import embedded_kafka
from serving import api, catalog, listenbrainz
from serving.app_state import AppState
from serving.db.database import Database
from serving.middleware import SecurityMiddleware
from serving.subsonic import router as subsonic

log = logging.getLogger("segue")

STATIC = Path(__file__).parent / "static"


def create_app(lake: Path, *, mongo: str | None, kafka: str | None) -> Any:
    """Return the ASGI application over a lake; MongoDB and Kafka at these addresses, embedded ones for None."""
    root = Lake(lake)
    # The embedded broker may come later than we do, and elsewhere than before.
    address = kafka or partial(embedded_kafka.find_embedded, lake)
    at = AppState(root, Database(lake), Producer(address, spool.spool_dir(lake)), catalog.load(root))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        at.open(mongo, asyncio.get_running_loop())
        await asyncio.to_thread(at.online_store.wait_connected, 10.0)
        yield
        await asyncio.to_thread(at.close)

    app = FastAPI(
        title="Segue",
        summary="Plays a folder of music and always knows a good next track.",
        version="0.1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.app_state = at
    for each in (api, subsonic, listenbrainz):
        app.include_router(each.router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(sqlite3.OperationalError, _full)
    app.add_exception_handler(Exception, _unexpected)
    app.get("/", include_in_schema=False)(_page)
    app.mount("/static", _Modules(directory=STATIC), name="static")
    return SecurityMiddleware(
        app,
        anyone=at.accounts.has_users,
        refuse=lambda refused: problem_response(
            refused.status_code, str(refused), dict(refused.headers or {})
        ),
        seen=at.record_request,
    )


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error as RFC 9457 has it."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content, status, headers, "application/problem+json")


class _Modules(StaticFiles):
    """The page's modules, asked about each time (304 where nothing is new): after an upgrade old ones do not fit the others."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        response = super().file_response(*given, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _page() -> Response:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return problem_response(400, "body: expected JSON, found something else")
    expected = first["msg"].removeprefix("Input should be ").removeprefix("String should ")
    return problem_response(422, f"{where}: expected {expected}, found {ascii(first.get('input'))[:80]}")


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(error.status_code, str(error.detail), dict(error.headers or {}))


def _full(_: Request, error: Exception) -> Response:
    log.error("the accounts' file could not be written: %s", error)
    return problem_response(
        507, "expected room on the disk of the lake, found that a change could not be kept"
    )


def _unexpected(_: Request, error: Exception) -> Response:
    return problem_response(500, "a defect of Segue's; its log has the rest")


Application = Callable[..., Any]
