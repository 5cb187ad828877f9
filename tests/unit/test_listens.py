"""The histories of three services as they export them, and how they are matched."""

import json
from datetime import UTC, datetime

import pytest

from jobs import events, listens
from jobs.errors import InputError

AT = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)
SECONDS = int(AT.timestamp())

LISTENBRAINZ = json.dumps(
    {
        "user_name": "rob",
        "listened_at": SECONDS,
        "track_metadata": {"artist_name": "AWOL", "track_name": "Food", "additional_info": {}},
    }
)
SPOTIFY = {
    "ts": "2026-11-21T20:15:00Z",
    "username": "rob",
    "ms_played": 4_000,
    "master_metadata_track_name": "Food",
    "master_metadata_album_artist_name": "AWOL",
    "reason_end": "fwdbtn",
}


def read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return list(listens.read(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.jsonl", LISTENBRAINZ + "\n\n"),
        ("plain.csv", "AWOL,A Way Of Life,Food,21 Nov 2026 20:15\n"),
        ("header.csv", f'uts,utc_time,artist,album,track\n"{SECONDS}","21 Nov 2026, 20:15","AWOL","A Way","Food"\n'),
        ("stats.csv", f"Artist;Album;AlbumId;Track;Date#rob\nAWOL;A Way;;Food;{SECONDS * 1000}\n"),
        ("t.tsv", "artist\ttrack\tdate\nAWOL\tFood\t2026-11-21 20:15:00\n"),
    ],
)
def test_a_listen_is_read(tmp_path, name, text):
    (listen,) = read(tmp_path, name, text)
    assert (listen.artist, listen.title, listen.at) == ("AWOL", "Food", AT)
    assert listens.event(listen, "rob", "2")["event"] == "finished"


def test_spotify_says_what_was_skipped_and_what_is_no_music(tmp_path):
    podcast = {**SPOTIFY, "master_metadata_track_name": None, "master_metadata_album_artist_name": None}
    heard = {**SPOTIFY, "ms_played": 168_000, "reason_end": "trackdone"}
    skipped, whole = read(tmp_path, "s.json", json.dumps([SPOTIFY, podcast, heard]))
    assert (skipped.user, skipped.at) == ("rob", AT)
    assert [listens.event(each, "rob", "2")["event"] for each in (skipped, whole)] == ["skipped", "finished"]


def test_the_same_listen_is_the_same_event_and_a_good_one(tmp_path):
    (listen,) = read(tmp_path, "l.jsonl", LISTENBRAINZ)
    event = listens.event(listen, "rob", "2")
    assert (
        event["event_id"]
        == listens.event(listen, "rob", "2")["event_id"]
        != listens.event(listen, "ann", "2")["event_id"]
    )
    assert events.parse(events.encode(event), AT)["played_at"] == AT


@pytest.mark.parametrize(
    ("artist", "title"),
    [
        ("Sigur Rós", "Hoppípolla"),
        ("sigur ros", "Hoppipolla - 2011 Remaster"),
        ("Sigur Rós feat. Amiina", "Hoppípolla (feat. Amiina)"),
        ("The Sigur Rós", "HOPPÍPOLLA!"),
    ],
)
def test_spellings_of_one_track_match(artist, title):
    known = listens.matches([{"track_id": "7", "artist": "Sigur Rós", "title": "Hoppípolla"}])
    assert known.get(listens.key(artist, title)) == "7"


def test_other_tracks_do_not_match():
    known = listens.matches([{"track_id": "7", "artist": "Sigur Rós", "title": "Hoppípolla"}])
    assert listens.key("Sigur Rós", "Sæglópur") not in known and listens.key("Múm", "Hoppípolla") not in known
    assert listens.key("坂本龍一", "愛") != listens.key("坂本龍一", "恋")


@pytest.mark.parametrize(("name", "text"), [("x.xml", ""), ("x.jsonl", "{}"), ("x.json", "{}x"), ("x.csv", "a,b\n")])
def test_what_is_no_history_is_told(tmp_path, name, text):
    with pytest.raises(InputError, match="^expected") as error:
        read(tmp_path, name, text)
    assert "\n" not in str(error.value)
