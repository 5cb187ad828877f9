"""Media annotation: stars, ratings, scrobbles."""

from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from jobs.plays.events import event_id
from jobs.plays.listen_times import parse_time
from serving.problems import RequestError
from serving.subsonic.protocol import GENERIC, Answer, SubsonicError, SubsonicRequest, method

# Scrobbles of one request: those a client has kept while it was offline.
_MAX_SCROBBLES = 1_000


@method("star", "unstar")
def _star(request: SubsonicRequest) -> Answer:
    """A song's star is a like; the star of an album or an artist rates none of its tracks."""
    is_starred = request.name == "star"
    ids = request.query.all("id")
    groups = [item_id for item_id in ids if request.library.is_artist_or_album(item_id)]
    songs = [item_id for item_id in ids if item_id not in groups]
    ratings = request.state.feedback.ratings(request.user.name)
    for track_id in request.known_track_ids(songs):
        if is_starred:
            request.state.set_rating(request.user, track_id, True)
        elif ratings.get(track_id):  # a dislike is no star
            request.state.set_rating(request.user, track_id, None)
    playlists = request.state.playlists
    change = playlists.add_favourite if is_starred else playlists.remove_favourite
    others = (*request.query.all("albumId"), *request.query.all("artistId"))
    for item_id in (*groups, *filter(None, others)):
        if not request.library.is_artist_or_album(item_id):
            raise RequestError(404, "expected the id of an album or an artist")
        change(request.user.name, item_id)
    request.state.store_starred()
    return {}


@method("setRating")
def _set_rating(request: SubsonicRequest) -> Answer:
    """4 and 5 stars like a track, 1 and 2 dislike it.

    3 and 0 take a dislike back and leave a like, which is the star of other clients. The stars of an album or
    an artist are stored and rate no track.
    """
    stars = request.query.number("rating", 0, 5)
    item_id = request.query.text("id")
    request.query.text("rating")  # raises if it is missing
    if request.library.is_artist_or_album(item_id):
        request.state.playlists.set_stars(request.user.name, item_id, stars)
        request.state.store_starred()
        return {}
    track_id = request.state.track(item_id).track_id
    request.state.playlists.set_stars(request.user.name, track_id, stars)
    if stars not in (0, 3):
        request.state.set_rating(request.user, track_id, stars > 3)
    elif request.state.feedback.ratings(request.user.name).get(track_id) is False:
        request.state.set_rating(request.user, track_id, None)
    return {}


@method("scrobble")
def _scrobble(request: SubsonicRequest) -> Answer:
    """All scrobbles of a request are accepted, or none if one is invalid."""
    is_submission = request.query.text("submission", "true").lower() != "false"
    event_type = "finished" if is_submission else "started"
    ids = request.query.all("id") or [request.query.text("id")]
    times = request.query.all("time")[: len(ids)]
    if len(ids) > _MAX_SCROBBLES:
        raise SubsonicError(GENERIC, f"expected at most {_MAX_SCROBBLES} ids, found {len(ids)}")
    events = [_event(request, event_type, track_id, time) for track_id, time in zip_longest(ids, times)]
    limit = request.state.event_limit
    limit.consume(request.user.name, min(len(events), limit.burst))
    for event in events:
        request.state.accept_play(request.user, event, is_limited=False)
    return {}


def _event(request: SubsonicRequest, event_type: str, track_id: str, time: str | None) -> dict[str, Any]:
    """Return a scrobble as a play event; with a time, the same scrobble sent again is the same event."""
    track = request.state.track(track_id)
    event: dict[str, Any] = {"track_id": track_id, "event": event_type}
    if event_type == "finished":
        event["position_s"] = track.duration_s
    if time is not None:
        try:
            played_at = parse_time(time, datetime.now(UTC))
        except ValueError as error:
            raise SubsonicError(GENERIC, f"time: {error}") from None
        # The same listen from ListenBrainz or an imported history has the same id; `started` is another
        # event.
        listen_id = event_id(request.user.name, played_at, track_id)
        event["played_at"] = played_at
        event["event_id"] = listen_id if event_type == "finished" else f"{listen_id}-{event_type}"
    return event
