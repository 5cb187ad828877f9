"""The server itself: what it can do, who is logged in."""

from typing import Any

from serving.db.accounts import User
from serving.subsonic.protocol import FORBIDDEN, Answer, SubsonicError, SubsonicRequest, method

_EXTENSIONS = ("apiKeyAuthentication", "formPost", "songLyrics", "sonicSimilarity")


def extensions() -> dict[str, Any]:
    """Return which of OpenSubsonic's extensions there are."""
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
def _scan(call: SubsonicRequest) -> Answer:
    """The collection is taken up by itself when a batch has written it: there is nothing to start."""
    return {"scanStatus": {"scanning": False, "count": len(call.state.catalog.tracks)}}


@method("tokenInfo")
def _token(call: SubsonicRequest) -> Answer:
    return {"tokenInfo": {"username": call.user.name}}


@method("getUser")
def _user(call: SubsonicRequest) -> Answer:
    if call.query.text("username", call.user.name) != call.user.name:
        raise SubsonicError(FORBIDDEN, "expected your own name")
    return {"user": _about(call.user)}


@method("getUsers")
def _users(call: SubsonicRequest) -> Answer:
    if not call.user.admin:
        raise SubsonicError(FORBIDDEN, "expected an admin")
    return {
        "users": {"user": [_about(User(name, admin)) for name, admin in call.state.accounts.list_users()]}
    }


def _about(user: User) -> dict[str, Any]:
    can = ("streamRole", "downloadRole", "playlistRole")
    cannot = (
        "settingsRole",
        "uploadRole",
        "coverArtRole",
        "commentRole",
        "podcastRole",
        "jukeboxRole",
        "shareRole",
    )
    roles = {**dict.fromkeys(can, True), **dict.fromkeys(cannot, False), "adminRole": user.admin}
    return {"username": user.name, "scrobblingEnabled": True, **roles, "folder": [1]}


# What clients ask for at their start whether or not a server has it: there is none of it.
_NONE: dict[str, dict[str, Any]] = {
    "getBookmarks": {"bookmarks": {"bookmark": []}},
    "getInternetRadioStations": {"internetRadioStations": {"internetRadioStation": []}},
    "getNewestPodcasts": {"newestPodcasts": {"episode": []}},
    "getPodcasts": {"podcasts": {"channel": []}},
    "getShares": {"shares": {"share": []}},
    "getVideos": {"videos": {"video": []}},
}


@method(*_NONE)
def _none(call: SubsonicRequest) -> Answer:
    return _NONE[call.name]
