"""What the one who runs Segue looks after: files that could not be used."""

from typing import Annotated

from fastapi import APIRouter, Depends

from jobs.lake.schemas import REJECTS
from serving import schemas as m
from serving.api.dependencies import CurrentUser, State
from serving.db.accounts import LOCAL_USER, User
from serving.problems import RequestError

router = APIRouter()

# Rejected files of one answer, the latest first.
_MAX_REJECTS = 500


async def administrator(user: CurrentUser) -> User:
    """Return the user. Raises RequestError (403) unless an admin, or on this machine without users."""
    if not user.admin and user.name != LOCAL_USER:
        raise RequestError(403, "expected an admin")
    return user


@router.get("/rejected-files")
def rejected_files(state: State, _: Annotated[User, Depends(administrator)]) -> m.RejectedFiles:
    """Files of the library that a step could not use, with the reason; for admins."""
    rows = state.lake.read_arrow(REJECTS, "path", "step", "error", "first_seen", "attempts").to_pylist()
    rows.sort(key=lambda row: row["first_seen"], reverse=True)
    items = [
        m.RejectedFile(
            path=ascii(row["path"])[1:-1] if not row["path"].isprintable() else row["path"],
            step=row["step"],
            reason=row["error"] or "",
            first_seen=row["first_seen"].isoformat(),
            attempts=row["attempts"],
        )
        for row in rows[:_MAX_REJECTS]
    ]
    return m.RejectedFiles(total=len(rows), items=items)
