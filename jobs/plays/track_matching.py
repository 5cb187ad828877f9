"""Match a listen to a track: by MusicBrainz recording id, else by normalized artist and title.

One rule for imported histories and for the live ListenBrainz API, so that a listen is the same event either
way.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobs.audio.artist_names import split_artists
from jobs.library.accents import is_mark, without_accents

# The columns of TRACKS that a matcher needs.
COLUMNS = ("track_id", "artist", "artists", "title", "album", "recording_mbid", "audio_path")

# Characters of a name that are compared.
_MAX_NAME_LENGTH = 300

# What one service appends to a title and another does not: guests, remasters, mixes; to the end of the title.
_VERSION_SUFFIX = re.compile(
    r"""(?ix) \s* [-\u2013(\[] \s*
    ( (\d{4}\s+)? (digital(ly)?\s+)? re-?master(ed)?
    | feat\b | ft\b | featuring\b | with\s
    | mono\b | stereo\b | (\d{4}\s+)? (mono|stereo|single|album|original) \s+ (version|mix|edit)\b
    | bonus\s+track\b | explicit\b
    ) .* $"""
)
_FEATURED_ARTIST = re.compile(r"(?i)\s+[(\[]?(feat|ft|featuring)\b\.?\s.*$")
_ARTICLE = re.compile(r"(?i)^the\s|,\s*the$")


class TrackMatcher:
    """The tracks of a library by MusicBrainz recording id, and by normalized artist and title."""

    def __init__(self, tracks: Iterable[Mapping[str, Any]]) -> None:
        """Index rows with COLUMNS; `artists`, `album`, `recording_mbid` and `audio_path` may be missing.

        Tracks with audio go before those without, so that import and player match the same one.
        """
        self._by_mbid: dict[str, str] = {}
        # For each name the tracks by id, with their albums.
        self._by_name: dict[tuple[str, str], list[tuple[str, str]]] = {}
        # The same for artists who are not the first.
        self._by_guest: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for track in sorted(tracks, key=_order):
            if mbid := track.get("recording_mbid"):
                self._by_mbid.setdefault(str(mbid).lower(), track["track_id"])
            if track["artist"] and track["title"]:
                self._add_names(track)

    def _add_names(self, track: Mapping[str, Any]) -> None:
        artists, title = list(track.get("artists") or ()), track["title"]
        found = (track["track_id"], normalize(track.get("album") or ""))
        for key in dict.fromkeys(match_key(name, title) for name in (track["artist"], *_credits(artists))):
            self._by_name.setdefault(key, []).append(found)
        for key in dict.fromkeys(match_key(name, title) for name in artists[1:]):
            self._by_guest.setdefault(key, []).append(found)

    def __len__(self) -> int:
        return len(self._by_mbid) + len(self._by_name)

    def match(
        self, artist: str, title: str, *, album: str | None = None, mbids: Sequence[str] = ()
    ) -> str | None:
        """Return the id of the matching track, or None.

        `mbids` are possible recording ids, the most reliable first; they go before names. Names are the
        credit, its first artist, or all artists in any spelling; another artist of a track alone only
        matches with the album. Of several tracks of one name the one on `album` matches, else the one with
        the smallest id, so that a listen always matches the same track.
        """
        for mbid in mbids:
            track_id = self._by_mbid.get(mbid.lower())
            if track_id is not None:
                return track_id
        candidates = self._candidates(artist, title)
        guests = [] if candidates else self._by_guest.get(match_key(artist, title), [])
        wanted_album = normalize(album or "")
        for track_id, track_album in (*candidates, *guests):
            if wanted_album and track_album == wanted_album:
                return track_id
        return candidates[0][0] if candidates else None

    def _candidates(self, artist: str, title: str) -> list[tuple[str, str]]:
        """Return the tracks of a credit, else of the first of its artists that has any."""
        names = (artist, *split_artists(artist[:_MAX_NAME_LENGTH]))
        found = (self._by_name.get(match_key(name, title), []) for name in names)
        return next(filter(None, found), [])

    def same_name(self, artist: str, title: str) -> list[str]:
        """Return the ids of all tracks of this artist and title."""
        return [track_id for track_id, _ in self._candidates(artist, title)]


def _credits(artists: Sequence[str]) -> list[str]:
    """Return the credits that services make of a track's artists: the first one, and all of them."""
    if len(artists) < 2:
        return list(artists)
    first, last = ", ".join(artists[:-1]), artists[-1]
    return [artists[0], f"{first}, {last}", f"{first} & {last}", " & ".join(artists)]


def _order(track: Mapping[str, Any]) -> tuple[bool, str]:
    return not track.get("audio_path"), str(track["track_id"])


def match_key(artist: str, title: str) -> tuple[str, str]:
    """Return what the spellings of one track share.

    Letters and digits, without guests, articles and remaster remarks.
    """
    artist = unicodedata.normalize("NFKC", artist[:_MAX_NAME_LENGTH])
    title = unicodedata.normalize("NFKC", title[:_MAX_NAME_LENGTH])
    main_artist = _ARTICLE.sub("", _FEATURED_ARTIST.sub("", artist).strip())
    main_title = _FEATURED_ARTIST.sub("", _VERSION_SUFFIX.sub("", title))
    return normalize(main_artist), normalize(main_title)


def normalize(text: str) -> str:
    """Return a name without case, accents, spaces and punctuation.

    A name of punctuation alone only without case.
    """
    folded = without_accents(unicodedata.normalize("NFKD", text).casefold())
    spelled = re.sub(r"\s&\s|\s\+\s", " and ", folded).replace("&", "and")
    return "".join(char for char in spelled if char.isalnum() or is_mark(char)) or text.casefold()
