"""Last.fm as a service that plays are forwarded to, with an API account of the operator's own.

Its API: https://www.last.fm/api/scrobbling and https://www.last.fm/api/desktopauth.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import requests

from serving.catalog import Track
from serving.scrobble_service import TIMEOUT_S, Answer, Outcome, Scrobble, away, one_line

# Last.fm takes no shorter tracks.
MIN_DURATION_S = 30.0

# Error codes of its API; all others are tried again later.
_INVALID_PARAMETERS, _INVALID_SESSION, _RATE_LIMIT = 6, 9, 29
UNAUTHORIZED_TOKEN, EXPIRED_TOKEN = 14, 15

# Seconds to leave it alone after a rate limit, and after a user's daily limit.
_RATE_LIMIT_WAIT_S, _DAILY_LIMIT_WAIT_S = 60.0, 3600.0

# Why it ignores a scrobble: the codes of `ignoredMessage`.
_IGNORED = {
    1: "the artist was ignored",
    2: "the track was ignored",
    3: "the play is older than it takes",
    4: "the play is in the future",
}
_DAILY_LIMIT = 5


class LastFmError(Exception):
    """An error of Last.fm's, or that it does not answer (code 0)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class LastFm:
    """Its scrobbling API; the token of a user is a session key, which does not expire."""

    title = "Last.fm"

    def __init__(self, address: str, page: str, key: str, secret: str) -> None:
        """Use the API at `address`, and `page`, where users allow it, with the operator's key and secret."""
        self._url, self._page, self._key, self._secret = address, page, key, secret
        self._session = requests.Session()

    @property
    def is_configured(self) -> bool:
        """Whether there is an API account."""
        return bool(self._key and self._secret)

    def login_page(self) -> tuple[str, str]:
        """Return a new login token, and the page on which the user allows it. Raises LastFmError."""
        token = str(self._call("auth.getToken", {}).get("token", ""))
        return token, f"{self._page}?{urlencode({'api_key': self._key, 'token': token})}"

    def session_key(self, token: str) -> str:
        """Return the session key of an allowed login token. Raises LastFmError."""
        session = self._call("auth.getSession", {"token": token}).get("session")
        key = session.get("key") if isinstance(session, dict) else None
        if not isinstance(key, str) or not key:
            raise LastFmError(0, "expected a session of Last.fm, found none in its answer")
        return key

    def submit(self, token: str, scrobbles: Sequence[Scrobble]) -> Answer:
        """Send plays; those of tracks that are too short for it are refused here."""
        short = {
            place: f"{self.title} takes no tracks of {MIN_DURATION_S:.0f} s or less"
            for place, each in enumerate(scrobbles)
            if each.track.duration_s <= MIN_DURATION_S
        }
        places = [place for place in range(len(scrobbles)) if place not in short]
        if not places:
            return Answer(Outcome.TAKEN, refused=short)
        values: dict[str, str] = {}
        for number, place in enumerate(places):
            scrobble = scrobbles[place]
            names = {**_names(scrobble.track, scrobble.mbid), "timestamp": str(scrobble.started_at)}
            values |= {f"{name}[{number}]": value for name, value in names.items()}
        try:
            found = self._call("track.scrobble", {**values, "sk": token})
        except requests.RequestException as error:
            return away(self.title, error)
        except LastFmError as error:
            return _failure(error)
        return _taken(found, places, short)

    def now_playing(self, token: str, track: Track, mbid: str | None) -> Answer:
        """Say what plays now."""
        try:
            self._call("track.updateNowPlaying", {**_names(track, mbid), "sk": token})
        except requests.RequestException as error:
            return away(self.title, error)
        except LastFmError as error:
            return _failure(error)
        return Answer(Outcome.TAKEN)

    def _call(self, method: str, values: Mapping[str, str]) -> dict[str, Any]:
        """Call a method; raises LastFmError, and requests.RequestException if it does not answer."""
        given = {"method": method, "api_key": self._key, **values}
        signed = {**given, "api_sig": signature(given, self._secret), "format": "json"}
        # Redirects are not followed: they could lead the session key elsewhere.
        answer = self._session.post(self._url, data=signed, timeout=TIMEOUT_S, allow_redirects=False)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or (answer.status_code != 200 and "error" not in found):
            raise LastFmError(0, f"{answer.status_code} {self.title} gave no answer of its API")
        if "error" in found:
            code = str(found["error"])
            number = int(code) if code.isascii() and code.isdecimal() else 0
            raise LastFmError(number, f"{code} {found.get('message', '')}")
        return found


def signature(values: Mapping[str, str], secret: str) -> str:
    """Return `api_sig`: the MD5 of all names and values, in the order of the names, and the secret."""
    text = "".join(f"{name}{values[name]}" for name in sorted(values)) + secret
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _names(track: Track, mbid: str | None) -> dict[str, str]:
    names = {
        "artist": track.artists[0] if track.artists else track.artist,
        "track": track.title,
        "album": track.album,
        "albumArtist": track.album_artist,
        "trackNumber": str(track.track_no or ""),
        "duration": str(round(track.duration_s)),
        "mbid": mbid or "",
    }
    return {name: value for name, value in names.items() if value}


def _failure(error: LastFmError) -> Answer:
    reason = one_line(str(error))
    if error.code == _INVALID_SESSION:
        return Answer(Outcome.STOPPED, reason)
    if error.code == _INVALID_PARAMETERS:
        return Answer(Outcome.REFUSED, reason)
    return Answer(Outcome.LATER, reason, _RATE_LIMIT_WAIT_S if error.code == _RATE_LIMIT else 0.0)


def _taken(found: dict[str, Any], places: Sequence[int], short: dict[int, str]) -> Answer:
    """Return what an answer to track.scrobble says of each play; one that it does not name was taken."""
    scrobbles = found.get("scrobbles")
    each = scrobbles.get("scrobble") if isinstance(scrobbles, dict) else None
    refused, waiting = dict(short), set()
    for place, one in zip(places, each if isinstance(each, list) else [each], strict=False):
        message = one.get("ignoredMessage") if isinstance(one, dict) else None
        code = str(message.get("code")) if isinstance(message, dict) else "0"
        if code == str(_DAILY_LIMIT):
            waiting.add(place)
        elif code.isascii() and code.isdecimal() and int(code):
            refused[place] = one_line(f"ignored {code}: {_IGNORED.get(int(code), '')}")
    wait_s = _DAILY_LIMIT_WAIT_S if waiting else 0.0
    reason = f"ignored {_DAILY_LIMIT}: Last.fm's limit of plays a day" if waiting else ""
    return Answer(Outcome.TAKEN, reason, wait_s, refused, frozenset(waiting))
