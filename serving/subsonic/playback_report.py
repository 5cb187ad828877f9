"""OpenSubsonic's extension `playbackReport`: what plays where, which is also a scrobble when it stops."""

from datetime import UTC, datetime, timedelta

from jobs.plays.events import event_id
from serving.now_playing import Playback
from serving.subsonic.protocol import GENERIC, Answer, SubsonicError, SubsonicRequest, method

_STATES = ("starting", "playing", "paused", "stopped")
_MAX_POSITION_MS = 86_400_000
_MAX_RATE = 16.0

# A play counts from half of the track or four minutes on, as scrobbles do.
_COUNTS_FROM_FRACTION, _COUNTS_FROM_S = 0.5, 240.0


@method("reportPlayback")
def _report(request: SubsonicRequest) -> Answer:
    """The beginning of a session is a `started` event, a stop far enough into the track a `finished` one."""
    query = request.query
    for name in ("mediaId", "mediaType", "positionMs"):
        query.text(name)  # raises if it is missing
    state = query.text("state")
    if state not in _STATES:
        raise SubsonicError(GENERIC, f"state: expected {', '.join(_STATES)}, found {ascii(state)[:40]}")
    track = request.state.track(query.text("mediaId"))
    now = datetime.now(UTC)
    position_s = query.number("positionMs", 0, _MAX_POSITION_MS) / 1000
    rate = _rate(query.text("playbackRate", "1"))
    playback = Playback(
        user=request.user.name,
        client=query.text("c", "")[:80],
        track_id=track.track_id,
        duration_s=track.duration_s,
        state=state,
        position_s=position_s,
        rate=rate,
        at=now,
        started_at=now - timedelta(seconds=position_s / rate),
    )
    previous = request.state.now_playing.report(playback)
    if query.text("ignoreScrobble", "false").lower() == "true":
        return {}
    if previous is None and state in ("starting", "playing"):
        _accept(request, playback, "started")
    elif previous is not None and state == "stopped":
        reached_s = max(position_s, previous.position_s)
        if reached_s >= min(_COUNTS_FROM_FRACTION * track.duration_s, _COUNTS_FROM_S):
            _accept(request, previous, "finished", reached_s)
    return {}


def _rate(text: str) -> float:
    """Return the speed of playback, 1 for normal. Raises SubsonicError for text that is no such number."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= _MAX_RATE:
        raise SubsonicError(
            GENERIC,
            f"playbackRate: expected a number above 0, at most {_MAX_RATE:g}, found {ascii(text)[:40]}",
        )
    return rate


def _accept(
    request: SubsonicRequest, playback: Playback, event: str, position_s: float | None = None
) -> None:
    """Accept a play event of a session; its id is that of the same listen by another way."""
    listen_id = event_id(playback.user, playback.started_at, playback.track_id)
    fields = {
        "track_id": playback.track_id,
        "event": event,
        "event_id": listen_id if event == "finished" else f"{listen_id}-{event}",
        "played_at": playback.started_at,
        "position_s": position_s,
    }
    request.state.accept_play(request.user, fields, is_limited=False)
