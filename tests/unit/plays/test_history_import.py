"""Listens become play events: matched, counted, and left out if PLAYS has them under any id."""

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from jobs.lake.storage import Lake
from jobs.plays import events, play_log
from jobs.plays.events import LoggedPlay, PlayEvent
from jobs.plays.history_import import ImportResult, KnownPlays, to_events, to_play_event
from jobs.plays.listens import Listen
from jobs.plays.track_matching import TrackMatcher

AT = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)
LISTEN = Listen("rob", "AWOL", "Food", AT)


def matcher(*track_ids):
    rows = [{"track_id": each, "artist": "AWOL", "title": "Food"} for each in track_ids or ("7",)]
    return TrackMatcher([{**row, "album": f"Album {row['track_id']}"} for row in rows])


def run(listens, known=None, user="rob", tracks=None):
    result = ImportResult()
    known = known or KnownPlays.of_ids([])
    return list(to_events(listens, user, tracks or matcher(), known, result)), result


def test_listen_becomes_a_valid_event_with_a_stable_id():
    event = to_play_event(LISTEN, "rob", "2")
    assert event == to_play_event(LISTEN, "rob", "2")
    assert event.event_id == events.event_id("rob", AT, "2") != to_play_event(LISTEN, "ann", "2").event_id
    assert (event.event, event.played_at) == ("finished", AT)
    assert events.parse(events.encode(event), AT) == event


def test_short_incomplete_listen_is_a_skip():
    skipped = dataclasses.replace(LISTEN, played_s=4.0, is_complete=False)
    assert (to_play_event(skipped, "rob", "2").event, to_play_event(skipped, "rob", "2").position_s) == (
        "skipped",
        4.0,
    )


def test_unmatched_listens_are_counted_and_known_ones_left_out():
    listens = [
        *(dataclasses.replace(LISTEN, started_at=AT + timedelta(minutes=n)) for n in range(2)),
        *(Listen(None, "Nobody", f"Song {n % 2}", AT) for n in range(3)),
    ]
    sent, result = run(listens)
    assert (result.listens, result.sent, result.known, result.n_unmatched, len(sent)) == (5, 2, 0, 3, 2)
    assert result.top_unmatched()[0] == {"artist": "Nobody", "title": "Song 0", "listens": 2}
    assert len(result.top_unmatched()) == 2
    assert result.counts() == {
        "listens": 5,
        "sent": 2,
        "there already": 0,
        "unmatched": 3,
        "top unmatched": "Nobody - Song 0",
    }
    sent, result = run(listens, KnownPlays.of_ids([sent[0].event_id]))
    assert (result.sent, result.known, len(sent)) == (1, 1, 1)


def test_user_is_required_and_overrides_the_file():
    assert [event.user_id for event in run([LISTEN], user=None)[0]] == ["rob"]
    assert [event.user_id for event in run([LISTEN], user="ann")[0]] == ["ann"]
    sent, result = run([dataclasses.replace(LISTEN, user=None), LISTEN], user=None)
    assert len(sent) == 1 and result.rejected == {"no user": 1}


def test_listen_whose_event_is_invalid_is_rejected_and_the_rest_sent():
    long_name = dataclasses.replace(LISTEN, user="x" * 200)
    rows = []
    result = ImportResult(store_rejected=rows.append)
    sent = list(to_events([long_name, LISTEN], None, matcher(), KnownPlays.of_ids([]), result))
    assert (len(sent), result.sent, result.rejected) == (1, 1, {"invalid event": 1})
    assert rows[0].reason == "invalid event" and "user_id" in rows[0].found
    assert result.counts()["rejected by reason"] == "invalid event 1"


@pytest.mark.parametrize("first_in_minutes", [True, False])
def test_listen_to_the_minute_and_to_the_second_is_one(first_in_minutes):
    """As two exporters of Last.fm write it, and Spotify's two histories."""
    exact = dataclasses.replace(LISTEN, started_at=AT + timedelta(seconds=42))
    to_the_minute = dataclasses.replace(LISTEN, is_of_a_minute=True)
    ended_at = exact.started_at + timedelta(seconds=200.5)
    played = dataclasses.replace(exact, played_s=200.5, ended_at=ended_at)
    ended_at = ended_at.replace(second=0, microsecond=0)
    started_at = ended_at - timedelta(seconds=200.5)
    short = dataclasses.replace(played, ended_at=ended_at, started_at=started_at, is_of_a_minute=True)
    for pair in ([to_the_minute, exact], [short, played]):
        sent, result = run(pair if first_in_minutes else pair[::-1])
        assert (len(sent), result.known) == (1, 1)
    later = dataclasses.replace(exact, started_at=AT + timedelta(seconds=62))
    assert len(run([to_the_minute, later])[0]) == 2


def lake_with(tmp_path, *plays, is_compacted=True):
    lake = Lake(tmp_path / "lake")
    logged = [LoggedPlay(play, "plays-0@x", offset) for offset, play in enumerate(plays)]
    play_log.play_table(lake).append("0", play_log.to_arrow(logged))
    if is_compacted:
        play_log.compact(lake)
    return lake


def stored(event_id, *, track="7", user="rob", at=AT, event="finished"):
    return PlayEvent(event_id=event_id, user_id=user, track_id=track, event=event, played_at=at)


@pytest.mark.parametrize("is_compacted", [True, False])
@pytest.mark.parametrize("user", ["rob", None])
def test_play_with_an_id_of_any_form_is_known(tmp_path, is_compacted, user):
    """As the live API, scrobbles and imports of Segue 0.1 wrote it."""
    listens = [dataclasses.replace(LISTEN, started_at=AT + timedelta(minutes=n)) for n in range(4)]
    plays = [
        stored("lb-1", at=AT),
        stored("ss-2", at=AT + timedelta(minutes=1, milliseconds=300)),
        stored("3", at=AT + timedelta(minutes=2)),
        stored("other", at=AT + timedelta(minutes=3), event="started"),  # no whole listen
        stored("ann", at=AT + timedelta(minutes=3), user="ann"),
    ]
    known = KnownPlays.load(lake_with(tmp_path, *plays, is_compacted=is_compacted), user)
    sent, result = run(listens, known)
    assert [event.played_at for event in sent] == [AT + timedelta(minutes=3)] and result.known == 3


def test_play_of_another_track_of_the_name_is_known(tmp_path):
    """An earlier import may have matched another album's track."""
    known = KnownPlays.load(lake_with(tmp_path, stored("x", track="1")), "rob")
    listen = dataclasses.replace(LISTEN, album="Album 2")
    assert [event.track_id for event in run([listen], tracks=matcher("1", "2"))[0]] == ["2"]
    assert run([listen], known, tracks=matcher("1", "2"))[0] == []


def test_spotify_play_that_was_stored_at_its_end_is_known(tmp_path):
    """Segue 0.1 took Spotify's end of a listen for its time."""
    ended = AT + timedelta(minutes=3)
    listen = dataclasses.replace(LISTEN, played_s=180.0, ended_at=ended)
    old_id = hashlib.sha256(f"rob\n{ended.isoformat()}\n7".encode()).hexdigest()[:32]
    known = KnownPlays.load(lake_with(tmp_path, stored(old_id, at=ended)), "rob")
    assert run([listen], known)[0] == []
    later = dataclasses.replace(
        listen, started_at=ended + timedelta(seconds=5), ended_at=ended + timedelta(minutes=3)
    )
    assert len(run([later], known)[0]) == 1


def test_empty_lake_knows_no_plays(tmp_path):
    known = KnownPlays.load(Lake(tmp_path / "lake"), None)
    assert events.event_id("rob", AT, "7") not in known
