"""What is heard: files, covers, scrobbles."""

from datetime import UTC, datetime
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse

from serving.media import file_response
from serving.subsonic.protocol import GENERIC, Answer, Call, SubsonicError, method


@method("stream", "download")
def _stream(call: Call) -> FileResponse:
    return file_response(call.house, call.house.track(call.query.text("id")))


@method("getCoverArt")
def _cover(call: Call) -> Answer:
    track = call.shelves.any_track(call.query.text("id"))
    picture = call.house.covers.jpeg(track, call.house.catalog.audio_file(track), call.query.number("size", 600, 1200))
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


@method("scrobble")
def _scrobble(call: Call) -> Answer:
    kind = "started" if call.query.text("submission", "true").lower() == "false" else "finished"
    times = call.query.all("time")
    for number, track_id in enumerate(call.query.all("id") or [call.query.text("id")]):
        event: dict[str, Any] = {"track_id": track_id, "event": kind}
        track = call.house.track(track_id)
        if kind == "finished":
            event["position_s"] = track.duration_s
        if number < len(times):
            event["played_at"] = _time(times[number])
        call.house.accept(call.user, event)
    return {}


def _time(milliseconds: str) -> str:
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise SubsonicError(
            GENERIC, f"time: expected milliseconds since 1970, found {ascii(milliseconds)[:40]}"
        ) from None


@method("getNowPlaying")
def _now(call: Call) -> Answer:
    rows = call.house.listeners.history(call.user.name, most=1)
    if not rows or rows[0]["event"] != "started" or rows[0]["track_id"] not in call.house.catalog.by_id:
        return {"nowPlaying": {"entry": []}}
    minutes = int((datetime.now(UTC) - datetime.fromisoformat(rows[0]["at"])).total_seconds() // 60)
    song = call.shelves.song(call.house.catalog.by_id[rows[0]["track_id"]])
    return {
        "nowPlaying": {"entry": [{**song, "username": call.user.name, "minutesAgo": max(0, minutes), "playerId": 1}]}
    }
