"""What is heard: files, covers, scrobbles."""

from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse

from jobs.plays.events import event_id, parse_time
from serving.media import file_response
from serving.subsonic.protocol import GENERIC, Answer, SubsonicError, SubsonicRequest, method

# Scrobbles of one call: what a player has kept while it was offline.
_MOST = 1_000


@method("stream", "download")
def _stream(call: SubsonicRequest) -> FileResponse:
    return file_response(call.state, call.state.track(call.query.text("id")))


@method("getCoverArt")
def _cover(call: SubsonicRequest) -> Answer:
    track = call.library.resolve_track(call.query.text("id"))
    picture = call.state.covers.jpeg(
        track, call.state.catalog.audio_file(track), call.query.number("size", 600, 1200)
    )
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


@method("scrobble")
def _scrobble(call: SubsonicRequest) -> Answer:
    """All of them or, where one is wrong, none."""
    kind = "started" if call.query.text("submission", "true").lower() == "false" else "finished"
    ids, times = call.query.all("id") or [call.query.text("id")], call.query.all("time")
    if len(ids) > _MOST:
        raise SubsonicError(GENERIC, f"expected at most {_MOST} ids, found {len(ids)}")
    events = [_event(call, kind, track_id, time) for track_id, time in zip_longest(ids, times[: len(ids)])]
    limit = call.state.event_limit
    limit.consume(call.user.name, min(len(events), limit.burst))
    for event in events:
        call.state.accept_play(call.user, event, is_limited=False)
    return {}


def _event(call: SubsonicRequest, kind: str, track_id: str, time: str | None) -> dict[str, Any]:
    """The same scrobble sent again is the same event, where the client says when it was."""
    track = call.state.track(track_id)
    event: dict[str, Any] = {"track_id": track_id, "event": kind}
    if kind == "finished":
        event["position_s"] = track.duration_s
    if time is not None:
        try:
            played_at = parse_time(time, datetime.now(UTC))
        except ValueError as error:
            raise SubsonicError(GENERIC, f"time: {error}") from None
        # The same listen from ListenBrainz or an imported history has the same id. A `started` one is another event.
        listen_id = event_id(call.user.name, played_at, track_id)
        event["played_at"] = played_at
        event["event_id"] = listen_id if kind == "finished" else f"{listen_id}-{kind}"
    return event


@method("getNowPlaying")
def _now_playing(call: SubsonicRequest) -> Answer:
    rows = call.state.feedback.history(call.user.name, limit=1)
    if not rows or rows[0]["event"] != "started" or rows[0]["track_id"] not in call.state.catalog.by_id:
        return {"nowPlaying": {"entry": []}}
    minutes = int((datetime.now(UTC) - datetime.fromisoformat(rows[0]["at"])).total_seconds() // 60)
    song = call.library.song(call.state.catalog.by_id[rows[0]["track_id"]])
    return {
        "nowPlaying": {
            "entry": [{**song, "username": call.user.name, "minutesAgo": max(0, minutes), "playerId": 1}]
        }
    }
