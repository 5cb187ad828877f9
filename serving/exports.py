"""Playlists and plays in the formats of other programs: M3U8, JSPF, ListenBrainz' JSON Lines."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from serving.catalog import Catalog, Track
from serving.db.playlists import Playlist
from serving.listens import Listen, recording_mbids

_RECORDING = "https://musicbrainz.org/recording/"


def m3u8(catalog: Catalog, playlist: Playlist) -> str:
    """Return a playlist as extended M3U, UTF-8; the places are relative to the library's folder."""
    lines = ["#EXTM3U", f"#PLAYLIST:{_line(playlist.title)}"]
    for track in catalog.by_ids(playlist.tracks):
        lines.append(f"#EXTINF:{round(track.duration_s)},{_line(track.artist)} - {_line(track.title)}")
        lines.append(location(catalog, track))
    return "\n".join([*lines, ""])


def jspf(catalog: Catalog, playlist: Playlist, user: str) -> dict[str, Any]:
    """Return a playlist as JSPF (https://www.xspf.org/jspf); recordings as MusicBrainz' addresses."""
    tracks = catalog.by_ids(playlist.tracks)
    return {
        "playlist": {
            "title": playlist.title,
            "creator": user,
            "annotation": playlist.comment,
            "date": playlist.created,
            "track": [
                _jspf_track(catalog, track, mbid)
                for track, mbid in zip(tracks, recording_mbids(catalog, tracks), strict=True)
            ],
        }
    }


def _jspf_track(catalog: Catalog, track: Track, mbid: str | None) -> dict[str, Any]:
    found = {
        "title": track.title,
        "creator": track.artist,
        "album": track.album,
        "duration": round(1000 * track.duration_s),
        "trackNum": track.track_no,
        "location": [location(catalog, track)],
        "identifier": [f"{_RECORDING}{mbid}"] if mbid else None,
    }
    return {name: value for name, value in found.items() if value}


def location(catalog: Catalog, track: Track) -> str:
    """Return a track's file as a path relative to the library's folder; its name alone if it is elsewhere."""
    path = Path(track.path)
    for root in catalog.roots:
        if path.is_relative_to(root):
            return _line(str(path.relative_to(root)))
    return _line(path.name)


def listen_lines(listens: list[Listen]) -> Iterator[bytes]:
    """Yield listens as lines of JSON, the oldest first, as ListenBrainz exports them."""
    for listen in reversed(listens):
        yield json.dumps(listen.to_json(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def file_stamp(now: datetime) -> str:
    """Return the day of an export for its file's name."""
    return now.strftime("%Y-%m-%d")


def _line(text: str) -> str:
    """Return a text that stays on one line, without what is no UTF-8."""
    return " ".join(text.encode("utf-8", "replace").decode().split("\n")).replace("\r", " ")
