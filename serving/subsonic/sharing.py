"""Sharing: links that open a page with some tracks, without a login."""

from datetime import UTC, datetime, timedelta
from typing import Any

from serving.db.shares import Share
from serving.problems import RequestError
from serving.subsonic.playlists import find_playlist
from serving.subsonic.protocol import GENERIC, Answer, SubsonicError, SubsonicRequest, method

# A share without an end of its own.
_DEFAULT_LENGTH = timedelta(days=365)


@method("getShares")
def _shares(request: SubsonicRequest) -> Answer:
    shares = request.state.shares.list_shares(request.user.name)
    return {"shares": {"share": [_answer(request, share) for share in shares]}}


@method("createShare")
def _create(request: SubsonicRequest) -> Answer:
    """Share songs, albums, artists and playlists; of a playlist the tracks that it has now."""
    request.query.text("id")  # raises if it is missing
    tracks = [track_id for item_id in request.query.all("id") for track_id in _track_ids(request, item_id)]
    expires = _expires(request, datetime.now(UTC) + _DEFAULT_LENGTH)
    description = request.query.text("description", "")
    share = request.state.shares.create(request.user.name, tracks, description, expires)
    return {"shares": {"share": [_answer(request, share)]}}


@method("updateShare")
def _update(request: SubsonicRequest) -> Answer:
    """Change what is named; `expires=0` takes the end away."""
    share = _own_share(request)
    expires = _expires(request, datetime.fromisoformat(share.expires) if share.expires else None)
    description = request.query.text("description", share.description)
    request.state.shares.update(share, description=description, expires=expires)
    return {}


@method("deleteShare")
def _delete(request: SubsonicRequest) -> Answer:
    request.state.shares.delete(request.user.name, _own_share(request).share_id)
    return {}


def _own_share(request: SubsonicRequest) -> Share:
    share_id = request.query.text("id")
    for share in request.state.shares.list_shares(request.user.name):
        if share.share_id == share_id:
            return share
    raise RequestError(404, "expected the id of a share")


def _track_ids(request: SubsonicRequest, item_id: str) -> list[str]:
    catalog = request.state.catalog
    if item_id in catalog.by_id:
        return [item_id]
    if request.library.is_artist_or_album(item_id):
        return [track.track_id for track in request.library.tracks_of(item_id)]
    return [track.track_id for track in catalog.by_ids(find_playlist(request, item_id).tracks)]


def _expires(request: SubsonicRequest, default: datetime | None) -> datetime | None:
    """Return the parameter `expires`, milliseconds since 1970; None for 0."""
    text = request.query.text("expires", "")
    if not text:
        return default
    if not text.isascii() or not text.isdecimal():
        raise SubsonicError(GENERIC, f"expires: expected milliseconds since 1970, found {ascii(text)[:40]}")
    try:
        return datetime.fromtimestamp(int(text) / 1000, UTC) if int(text) else None
    except (ValueError, OverflowError, OSError):
        raise SubsonicError(
            GENERIC, f"expires: expected a time before the year 9999, found {text[:40]}"
        ) from None


def _answer(request: SubsonicRequest, share: Share) -> dict[str, Any]:
    answer = {
        "id": share.share_id,
        "url": f"{request.base_url}share/{share.share_id}",
        "description": share.description,
        "username": share.name,
        "created": share.created,
        "expires": share.expires,
        "lastVisited": share.visited,
        "visitCount": share.visits,
        "entry": request.library.songs(request.state.catalog.by_ids(share.tracks)),
    }
    return {name: value for name, value in answer.items() if value is not None}
