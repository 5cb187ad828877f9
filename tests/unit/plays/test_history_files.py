"""Listening histories of three services, in the forms that they export."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from jobs.errors import InputError
from jobs.plays.history_files import read_history

AT = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)  # when the listen started
SECONDS = int(AT.timestamp())

MBID = "8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"

# As in a user's export, and as in the dump of all users' listens.
EXPORTED = json.dumps(
    {
        "inserted_at": SECONDS + 5,
        "listened_at": SECONDS,
        "user_name": "rob",
        "track_metadata": {
            "artist_name": "AWOL",
            "track_name": "Food",
            "release_name": "A Way Of Life",
            "mbid_mapping": {"recording_mbid": MBID, "artist_mbids": ["a"], "release_mbid": "b"},
            "additional_info": {"submission_client": "navidrome", "recording_msid": "c"},
        },
    }
)
DUMPED = json.dumps(
    {
        "user_id": 7,
        "timestamp": SECONDS,
        "track_metadata": {
            "artist_name": "AWOL",
            "track_name": "Food",
            "release_name": None,
            "additional_info": {"recording_mbid": MBID, "release_mbid": None},
        },
    }
)
LISTENBRAINZ = json.dumps(
    {
        "user_name": "rob",
        "listened_at": SECONDS,
        "track_metadata": {"artist_name": "AWOL", "track_name": "Food", "additional_info": {}},
    }
)
SPOTIFY = {
    "ts": "2026-11-21T20:15:04Z",  # the end
    "username": "rob",
    "ms_played": 4_000,
    "master_metadata_track_name": "Food",
    "master_metadata_album_artist_name": "AWOL",
    "reason_end": "fwdbtn",
}

SHORT = {"endTime": "2026-11-21 20:18", "artistName": "AWOL", "trackName": "Food", "msPlayed": 180_000}


def read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return list(read_history(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.jsonl", LISTENBRAINZ + "\n\n"),
        ("export.jsonl", EXPORTED + "\n"),
        ("dump.jsonl", DUMPED + "\n"),
        ("short.json", json.dumps([SHORT])),
        (
            "lastfm.csv",
            "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid\n"
            f'"{SECONDS}","21 Nov 2026, 20:15","AWOL","","A Way Of Life","","Food","{MBID}"\n',
        ),
        ("plain.csv", "AWOL,A Way Of Life,Food,21 Nov 2026 20:15\n"),
        (
            "header.csv",
            f'uts,utc_time,artist,album,track\n"{SECONDS}","21 Nov 2026, 20:15","AWOL","A Way","Food"\n',
        ),
        ("stats.csv", f"Artist;Album;AlbumId;Track;Date#rob\nAWOL;A Way;;Food;{SECONDS * 1000}\n"),
        ("t.tsv", "artist\ttrack\tdate\nAWOL\tFood\t2026-11-21 20:15:00\n"),
    ],
)
def test_listen_is_read(tmp_path, name, text):
    (listen,) = read(tmp_path, name, text)
    assert (listen.artist, listen.title, listen.started_at) == ("AWOL", "Food", AT)
    assert listen.is_finished
    assert listen.mbids == ((MBID,) if MBID in text else ())
    assert listen.album in (None, "", "A Way Of Life", "A Way")


def test_spotify_listen_starts_its_time_played_before_its_end(tmp_path):
    finished = {**SPOTIFY, "ms_played": 168_500, "reason_end": "trackdone"}
    skipped, whole = read(tmp_path, "s.json", json.dumps([SPOTIFY, finished]))
    assert (skipped.started_at, skipped.ended_at) == (AT, AT + timedelta(seconds=4))
    assert whole.started_at == AT + timedelta(seconds=4) - timedelta(seconds=168.5)


def test_spotify_skips_are_read_and_podcasts_left_out(tmp_path):
    podcast = {**SPOTIFY, "master_metadata_track_name": None, "master_metadata_album_artist_name": None}
    finished = {**SPOTIFY, "ms_played": 168_000, "reason_end": "trackdone"}
    skipped, whole = read(tmp_path, "s.json", json.dumps([SPOTIFY, podcast, finished]))
    assert (skipped.user, skipped.started_at) == ("rob", AT)
    assert [listen.is_finished for listen in (skipped, whole)] == [False, True]


def test_spotify_listen_of_half_a_minute_counts_as_finished(tmp_path):
    rows = [{**SPOTIFY, "ms_played": played} for played in (29_999, 30_000)]
    assert [listen.is_finished for listen in read(tmp_path, "s.json", json.dumps(rows))] == [False, True]


def test_history_is_read_a_piece_at_a_time(tmp_path):
    rows = [
        {**SPOTIFY, "ms_played": n, "master_metadata_track_name": 'a "quoted], title'} for n in range(2_000)
    ]
    text = "\ufeff \n" + json.dumps(rows)
    assert [listen.played_s for listen in read(tmp_path, "s.json", text)] == [n / 1000 for n in range(2_000)]
    lines = read_history(tmp_path / "s.json")
    next(lines)
    (tmp_path / "s.json").write_text("")  # the rest was in no buffer
    with pytest.raises(InputError, match="^expected a history"):
        list(lines)
    with pytest.raises(InputError, match="^expected a history"):
        read(tmp_path, "torn.json", json.dumps(rows)[:-100])
    (tmp_path / "many.jsonl").write_text((LISTENBRAINZ + "\n") * 3)
    lines = read_history(tmp_path / "many.jsonl")
    assert next(lines).title == "Food"
    (tmp_path / "many.jsonl").write_text("")  # the rest was in no buffer
    assert len(list(lines)) <= 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.xml", ""),
        ("x.jsonl", "{}"),
        ("x.json", "{}x"),
        ("x.json", "{}"),
        ("x.json", ""),
        ("x.csv", "a,b\n"),
    ],
)
def test_file_that_is_no_history_is_refused_in_one_line(tmp_path, name, text):
    with pytest.raises(InputError, match="^expected") as error:
        read(tmp_path, name, text)
    assert "\n" not in str(error.value)
