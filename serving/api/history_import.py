"""Import of a listening history that a user drops on the page."""

import tempfile
import threading
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request

from jobs.errors import InputError
from jobs.lake.schemas import TRACKS
from jobs.plays import track_matching
from jobs.plays.history_files import read_history
from jobs.plays.history_import import ImportResult, KnownPlays, to_events
from jobs.plays.rejected_listens import RejectedListens
from jobs.plays.track_matching import TrackMatcher
from serving import schemas as m
from serving.api.dependencies import SessionUser, State
from serving.app_state import AppState
from serving.problems import RequestError

router = APIRouter()

# Unmatched titles in the answer.
_N_UNMATCHED = 10

# What file systems allow.
_MAX_NAME_BYTES = 255

# One import at a time: each holds the history's plays in memory.
_IMPORTS = threading.Lock()


@router.post("/history-import", openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}})
async def history_import(
    request: Request,
    state: State,
    user: SessionUser,
    name: Annotated[str, Query(max_length=200, description="name of the file, which shows its format")],
    timezone: Annotated[str, Query(max_length=60, description="zone of times without one")] = "UTC",
) -> m.HistoryImport:
    """Import a history of ListenBrainz, Last.fm, Spotify and others (the body) as my plays."""
    with tempfile.TemporaryDirectory(prefix="segue-history-") as folder:
        file = Path(folder) / _file_name(name)
        with file.open("wb") as out:
            async for chunk in request.stream():
                await run_sync(out.write, chunk)
        return await run_sync(_import, state, user.name, file, _zone(timezone))


def _file_name(name: str) -> str:
    """Return the last part of a name that a browser gives. Raises RequestError (422) if it names no file."""
    last = Path(name).name
    if last == ".." or not last.isprintable() or len(last.encode("utf-8", "replace")) > _MAX_NAME_BYTES:
        raise RequestError(422, f"name: expected the name of a file, found {ascii(name)[:80]}")
    return last or "history"


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise RequestError(422, f"timezone: expected as Europe/Berlin, found {ascii(name)[:80]}") from None


def _import(state: AppState, user_id: str, file: Path, zone: tzinfo) -> m.HistoryImport:
    if not _IMPORTS.acquire(blocking=False):
        raise RequestError(409, "expected one import at a time, found another under way; try again later")
    try:
        matcher = TrackMatcher(state.lake.read_arrow(TRACKS, *track_matching.COLUMNS).to_pylist())
        known = KnownPlays.load(state.lake, user_id)
        result = ImportResult()
        with RejectedListens(state.lake.root / "rejected_listens", Path("/", user_id, file.name)) as rejected:
            result.store_rejected = rejected.write
            listens = read_history(file, zone=zone, reject=result.reject)
            for event in to_events(listens, user_id, matcher, known, result):
                state.producer.send(event)
    except InputError as error:
        raise RequestError(422, str(error).replace(str(file), file.name)) from error
    finally:
        _IMPORTS.release()
    unmatched = [f"{each['artist']} - {each['title']}" for each in result.top_unmatched()[:_N_UNMATCHED]]
    return m.HistoryImport(
        listens=result.listens,
        imported=result.sent,
        known=result.known,
        unmatched=result.n_unmatched,
        rejected=result.rejected.total(),
        top_unmatched=unmatched,
    )
