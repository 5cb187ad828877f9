"""Listens from the JSON objects of ListenBrainz, Spotify, Last.fm, Maloja, Koito and YouTube Music.

The names of an object's members say which service wrote it, so a file may hold several forms.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from jobs.plays.history_youtube import youtube_names
from jobs.plays.listen_times import is_of_a_minute, parse_time
from jobs.plays.listens import (
    INVALID_ROW,
    INVALID_TIME,
    NO_NAMES,
    NO_TIME,
    UNKNOWN_ROW,
    InvalidRow,
    Listen,
    optional_name,
    require_name,
)

PODCAST = "podcast episode"
AUDIOBOOK = "audiobook"

# Limit of Spotify's `ms_played`: the largest position of a play event.
_MAX_PLAYED_MS = 1e9

Row = Mapping[str, Any]


def json_listen(row: object, zone: tzinfo, now: datetime) -> Listen:
    """Return the listen of one JSON object; raise InvalidRow if it is none.

    `zone` is that of times without one, where the service does not say; `now` bounds times.
    """
    if not isinstance(row, dict):
        raise InvalidRow(UNKNOWN_ROW, f"expected an object, found {ascii(row)[:60]}")
    for names, reader in _READERS:
        if all(any(name in row for name in alternatives.split("|")) for alternatives in names):
            return reader(row, zone, now)
    members = ", ".join(map(ascii, row))[:120]
    raise InvalidRow(UNKNOWN_ROW, f"expected the members of a listen, found {members}")


def required_time(value: object, now: datetime, zone: tzinfo = UTC) -> datetime:
    """Return the time of a row. Raises InvalidRow if there is none, or one that cannot be read."""
    if value is None or value == "" or (not isinstance(value, bool) and value in (0, "0")):
        raise InvalidRow(NO_TIME, f"expected a time, found {ascii(value)}: still playing, or no clock")
    try:
        return parse_time(value, now, zone)
    except ValueError as error:
        raise InvalidRow(INVALID_TIME, str(error)) from None


def _listenbrainz_listen(row: Row, _: tzinfo, now: datetime) -> Listen:
    """Read a listen of an export, of the API, or of a dump; times are UTC, in seconds since 1970."""
    track = row.get("track_metadata", row)  # the first exports had the names in the row itself
    if not isinstance(track, dict):
        raise InvalidRow(NO_NAMES, f"track_metadata: expected an object, found {ascii(track)[:60]}")
    user = row.get("user_name") or row.get("user_id")
    times = (row[name] for name in ("listened_at", "timestamp") if row.get(name) is not None)
    return Listen(
        user=str(user) if user is not None else None,
        artist=require_name(track.get("artist_name"), "artist_name"),
        title=require_name(track.get("track_name"), "track_name"),
        album=optional_name(track.get("release_name")),
        started_at=required_time(next(times, None), now),
        mbids=listenbrainz_mbids(track),
    )


def listenbrainz_mbids(track_metadata: Row) -> tuple[str, ...]:
    """Return the recording ids of ListenBrainz' `track_metadata`.

    The player's, then the one that ListenBrainz mapped.
    """
    mbids: list[str] = []
    for part in ("additional_info", "mbid_mapping"):
        values = track_metadata.get(part)
        found = values.get("recording_mbid") if isinstance(values, dict) else None
        candidates = found if isinstance(found, list) else [found]
        mbids += [mbid for mbid in candidates if isinstance(mbid, str) and mbid]
    return tuple(mbids)


def _spotify_short_listen(row: Row, _: tzinfo, now: datetime) -> Listen:
    """Read a row of the last year's export, which has four members; `endTime` is in UTC, in whole minutes."""
    if "artistName" not in row:
        raise InvalidRow(_spotify_kind(row), _spotify_name(row))
    played_s = _played_s(row.get("msPlayed"))
    ended_at = required_time(row.get("endTime"), now)
    return Listen(
        user=None,
        artist=require_name(row["artistName"], "artistName"),
        title=require_name(row.get("trackName"), "trackName"),
        started_at=ended_at - timedelta(seconds=played_s),
        played_s=played_s,
        is_complete=False,
        ended_at=ended_at,
        is_of_a_minute=is_of_a_minute(row["endTime"]),
    )


def _spotify_listen(row: Row, _: tzinfo, now: datetime) -> Listen:
    """Read a row of the extended history; `ts` is the end, in UTC."""
    artist, title = (row.get(f"master_metadata_{name}") for name in ("album_artist_name", "track_name"))
    if not artist or not title:
        raise InvalidRow(_spotify_kind(row), _spotify_name(row))
    user = row.get("username")
    played_s = _played_s(row.get("ms_played"))
    ended_at = required_time(row.get("ts"), now)
    return Listen(
        user=user if isinstance(user, str) and user else None,
        artist=require_name(artist, "master_metadata_album_artist_name"),
        title=require_name(title, "master_metadata_track_name"),
        album=optional_name(row.get("master_metadata_album_album_name")),
        started_at=ended_at - timedelta(seconds=played_s),
        played_s=played_s,
        is_complete=row.get("reason_end") == "trackdone",
        ended_at=ended_at,
    )


def _played_s(milliseconds: object) -> float:
    is_number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    if not is_number or not 0 <= milliseconds <= _MAX_PLAYED_MS:  # type: ignore[operator]
        raise InvalidRow(INVALID_ROW, f"expected milliseconds played, found {ascii(milliseconds)[:40]}")
    return float(milliseconds) / 1000  # type: ignore[arg-type]


def _spotify_kind(row: Row) -> str:
    """Return what a row of Spotify without artist and track is."""
    filled = [name for name, value in row.items() if value]
    if any("audiobook" in name or "chapter" in name for name in filled):
        return AUDIOBOOK
    if any("episode" in name or "podcast" in name for name in filled):
        return PODCAST
    return NO_NAMES


def _spotify_name(row: Row) -> str:
    for name in ("episode_name", "episodeName", "audiobook_title", "audiobookName", "spotify_track_uri"):
        if row.get(name):
            return f"{name} {ascii(row[name])[:60]}"
    return "neither artist nor track"


def _lastfm_listen(row: Row, zone: tzinfo, now: datetime) -> Listen:
    """Read a row of Last.fm's API or of a JSON export of it; text without a zone is of `zone`."""
    date = row.get("date")
    text = None
    if isinstance(date, dict):
        text = date.get("#text")
        date = date.get("uts")
    # The last one is of Pano Scrobbler.
    names = ("uts", "timestamp", "time", "listened_at", "timeMs")
    values = (date, text, *(row.get(name) for name in names))
    time = next((value for value in values if value not in (None, "")), None)
    mbid: object = row.get("mbid") or row.get("track_mbid")
    return Listen(
        user=None,
        artist=require_name(_lastfm_name(row["artist"]), "artist"),
        title=require_name(_lastfm_name(row.get("track") or row.get("name")), "track"),
        album=optional_name(_lastfm_name(row.get("album"))),
        started_at=required_time(time, now, zone),
        mbids=(mbid,) if isinstance(mbid, str) and mbid else (),
        is_of_a_minute=is_of_a_minute(time),
    )


def _lastfm_name(value: object) -> object:
    """Return a name; the API writes {"#text": name} or {"name": name}."""
    return value.get("#text") or value.get("name") if isinstance(value, dict) else value


def _maloja_listen(row: Row, _: tzinfo, now: datetime) -> Listen:
    """Read a scrobble of Maloja's export or of its older API; times are UTC, in seconds since 1970."""
    track: Row = row.get("track", row)
    artists = track.get("artists")
    album = track.get("album")
    return Listen(
        user=None,
        artist=require_name(artists[0] if isinstance(artists, list) and artists else artists, "artists"),
        title=require_name(track.get("title"), "title"),
        album=optional_name(album.get("albumtitle") if isinstance(album, dict) else album),
        started_at=required_time(row["time"], now),
    )


def _koito_listen(row: Row, _: tzinfo, now: datetime) -> Listen:
    """Read a listen of Koito's export, which names things by lists of aliases; times are UTC."""
    artists = row["artists"]
    is_list = isinstance(artists, list) and artists
    artist = next((each for each in artists if each.get("is_primary")), artists[0]) if is_list else {}
    mbid = row["track"].get("mbid")
    return Listen(
        user=None,
        artist=require_name(_koito_name(artist), "artists"),
        title=require_name(_koito_name(row["track"]), "track"),
        album=optional_name(_koito_name(row.get("album") or {})),
        started_at=required_time(row["listened_at"], now),
        mbids=(mbid,) if isinstance(mbid, str) and mbid else (),
    )


def _koito_name(value: Row) -> object:
    aliases = value.get("aliases") or []
    alias = next((each for each in aliases if each.get("is_primary")), aliases[0] if aliases else {})
    return alias.get("alias")


def _youtube_listen(row: Row, _: tzinfo, now: datetime) -> Listen:
    """Read a row of Google Takeout; times are UTC."""
    artist, title = youtube_names(row)
    return Listen(user=None, artist=artist, title=title, started_at=required_time(row["time"], now))


# The members that identify a service, each with alternatives, and its reader; the first match counts.
_READERS: tuple[tuple[tuple[str, ...], Callable[[Row, tzinfo, datetime], Listen]], ...] = (
    (("track_metadata",), _listenbrainz_listen),
    (("listened_at|timestamp", "artist_name|track_name|recording_msid"), _listenbrainz_listen),
    (("endTime", "msPlayed|artistName|trackName"), _spotify_short_listen),
    (("ts", "ms_played|master_metadata_track_name"), _spotify_listen),
    (("time", "track", "origin|duration"), _maloja_listen),
    (("time", "artists", "title"), _maloja_listen),
    (("listened_at", "track", "artists"), _koito_listen),
    (("header", "title", "time"), _youtube_listen),
    (("time", "track"), _maloja_listen),
    (("artist", "track|name"), _lastfm_listen),
)
