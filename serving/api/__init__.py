"""The player's API under /api: each route parses, asks the house, answers."""

from fastapi import APIRouter

from serving.api import listening, people, state, tracks, upnext
from serving.api.common import PROBLEMS

router = APIRouter(prefix="/api", responses=PROBLEMS)
for part in (state, tracks, upnext, listening, people):
    router.include_router(part.router)
