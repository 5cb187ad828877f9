"""System: license, folders, extensions, users, and empty answers for what Segue does not have."""

import hashlib
from typing import Any

from fastapi import Response

from serving.avatars import avatar
from serving.db.accounts import User
from serving.subsonic.protocol import FORBIDDEN, Answer, SubsonicError, SubsonicRequest, method

_EXTENSIONS = (
    *("apiKeyAuthentication", "formPost", "indexBasedQueue", "playbackReport", "songLyrics"),
    *("sonicSimilarity", "topSongsByArtistId", "transcodeOffset", "transcoding"),
)

# Methods of what Segue does not have, by the HTTP status that Navidrome gives them: 501 where it has nothing
# yet, 410 where it will have nothing. Clients take either for "not available".
UNSUPPORTED = {
    **dict.fromkeys(("jukeboxControl", "createUser", "updateUser", "deleteUser", "changePassword"), 501),
    **dict.fromkeys(("refreshPodcasts", "createPodcastChannel", "deletePodcastChannel"), 501),
    **dict.fromkeys(("deletePodcastEpisode", "downloadPodcastEpisode", "getPodcastEpisode"), 501),
    **dict.fromkeys(("search", "getChatMessages", "addChatMessage"), 410),
    **dict.fromkeys(("getVideoInfo", "getCaptions", "hls"), 410),
}


def extensions() -> dict[str, Any]:
    """Return the supported OpenSubsonic extensions."""
    return {"openSubsonicExtensions": [{"name": name, "versions": [1]} for name in _EXTENSIONS]}


@method("ping")
def _ping(_: SubsonicRequest) -> Answer:
    return {}


@method("getLicense")
def _license(_: SubsonicRequest) -> Answer:
    return {"license": {"valid": True}}


@method("getMusicFolders")
def _folders(_: SubsonicRequest) -> Answer:
    return {"musicFolders": {"musicFolder": [{"id": 1, "name": "Music"}]}}


@method("getScanStatus", "startScan")
def _scan(request: SubsonicRequest) -> Answer:
    """A new collection is loaded by itself: there is no scan to start."""
    return {"scanStatus": {"scanning": False, "count": len(request.state.catalog.tracks)}}


@method("tokenInfo")
def _token(request: SubsonicRequest) -> Answer:
    return {"tokenInfo": {"username": request.user.name}}


@method("getUser")
def _user(request: SubsonicRequest) -> Answer:
    if not request.is_own_name():
        raise SubsonicError(FORBIDDEN, "expected your own name")
    return {"user": _about(request.user)}


@method("getAvatar")
def _avatar(request: SubsonicRequest) -> Answer:
    """The drawn avatar of any user; a name without a user has one too, so that none can be found out."""
    picture = avatar(request.query.text("username", request.user.name))
    headers = {
        "ETag": f'"{hashlib.sha256(picture).hexdigest()[:16]}"',
        "Cache-Control": "private, max-age=86400",
    }
    if request.if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type="image/png", headers=headers)


@method("getUsers")
def _users(request: SubsonicRequest) -> Answer:
    if not request.user.admin:
        raise SubsonicError(FORBIDDEN, "expected an admin")
    return {
        "users": {"user": [_about(User(name, admin)) for name, admin in request.state.accounts.list_users()]}
    }


def _about(user: User) -> dict[str, Any]:
    can = ("streamRole", "downloadRole", "playlistRole", "shareRole")
    cannot = (
        *(
            "settingsRole",
            "uploadRole",
            "coverArtRole",
            "commentRole",
            "podcastRole",
            "jukeboxRole",
            "videoConversionRole",
        ),
    )
    roles = {**dict.fromkeys(can, True), **dict.fromkeys(cannot, False), "adminRole": user.admin}
    return {"username": user.name, "scrobblingEnabled": True, **roles, "folder": [1]}


# Requested by clients at their start; Segue has none of these.
_NONE: dict[str, dict[str, Any]] = {
    "getNewestPodcasts": {"newestPodcasts": {"episode": []}},
    "getPodcasts": {"podcasts": {"channel": []}},
    "getVideos": {"videos": {"video": []}},
}


@method(*_NONE)
def _none(request: SubsonicRequest) -> Answer:
    return _NONE[request.name]
