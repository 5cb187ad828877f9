"""The player's API under /api."""

from fastapi import APIRouter

from serving.api import accounts, forwarding, mixes, plays, recommendations, status, tracks
from serving.api.dependencies import ERROR_RESPONSES

router = APIRouter(prefix="/api", responses=ERROR_RESPONSES)
for part in (status, tracks, recommendations, mixes, plays, accounts, forwarding):
    router.include_router(part.router)
