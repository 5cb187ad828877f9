"""Lyrics: of a song by its id, with times where they are known, or by artist and title."""

from typing import Any

from jobs.audio.lyrics import Lyrics
from serving.catalog import Track, normalize_text, stable_id
from serving.lyrics import lyrics_of
from serving.subsonic.protocol import Answer, SubsonicRequest, method


@method("getLyricsBySongId")
def _lyrics_by_song(request: SubsonicRequest) -> Answer:
    track = request.state.track(request.query.text("id"))
    found = [_structured(track, lyrics) for lyrics in lyrics_of(request.state.catalog, track)]
    return {"lyricsList": {"structuredLyrics": found} if found else {}}


@method("getLyrics")
def _lyrics_by_name(request: SubsonicRequest) -> Answer:
    """The lyrics as text; empty if there is no such song, or it has none."""
    artist, title = request.query.text("artist", ""), request.query.text("title", "")
    tracks = request.state.catalog.artist_tracks(stable_id("ar", artist))
    track = next((each for each in tracks if normalize_text(each.title) == normalize_text(title)), None)
    lyrics = lyrics_of(request.state.catalog, track) if track else []
    names = {name: text for name, text in (("artist", artist), ("title", title)) if text}
    return {"lyrics": {**names, "value": lyrics[0].text if lyrics else ""}}


def _structured(track: Track, lyrics: Lyrics) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    for line in lyrics.lines:
        start = {"start": line.start_ms} if line.start_ms is not None else {}
        lines.append({**start, "value": line.text})
    return {
        "displayArtist": track.artist,
        "displayTitle": track.title,
        "lang": lyrics.language,
        "offset": lyrics.offset_ms,
        "synced": lyrics.is_synced,
        "line": lines,
    }
