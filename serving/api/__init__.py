"""The player's API under /api."""

from fastapi import APIRouter

from serving.api import (
    accounts,
    administration,
    collection_map,
    exports,
    forwarding,
    history_import,
    library,
    mixes,
    playlists,
    plays,
    recommendations,
    status,
    tracks,
)
from serving.api.dependencies import ERROR_RESPONSES

router = APIRouter(prefix="/api", responses=ERROR_RESPONSES)
for part in (
    *(status, tracks, library, collection_map, recommendations, mixes),
    *(playlists, plays, accounts, administration, history_import, forwarding, exports),
):
    router.include_router(part.router)
