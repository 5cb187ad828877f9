"""The histories of three services as they export them, and how they are matched."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from jobs.commands import import_plays
from jobs.errors import InputError
from jobs.plays import events

AT = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)
SECONDS = int(AT.timestamp())

MBID = "8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"

# As in a user's export, and as in the dump of everybody's listens.
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
    "ts": "2026-11-21T20:15:00Z",
    "username": "rob",
    "ms_played": 4_000,
    "master_metadata_track_name": "Food",
    "master_metadata_album_artist_name": "AWOL",
    "reason_end": "fwdbtn",
}

SHORT = {"endTime": "2026-11-21 20:15", "artistName": "AWOL", "trackName": "Food", "msPlayed": 168_000}


def read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return list(import_plays.read_history(tmp_path / name))


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
def test_a_listen_is_read(tmp_path, name, text):
    (listen,) = read(tmp_path, name, text)
    assert (listen.artist, listen.title, listen.at) == ("AWOL", "Food", AT)
    assert import_plays.to_play_event(listen, "rob", "2")["event"] == "finished"
    assert listen.mbids == ((MBID,) if MBID in text else ())


def test_spotify_says_what_was_skipped_and_what_is_no_music(tmp_path):
    podcast = {**SPOTIFY, "master_metadata_track_name": None, "master_metadata_album_artist_name": None}
    heard = {**SPOTIFY, "ms_played": 168_000, "reason_end": "trackdone"}
    skipped, whole = read(tmp_path, "s.json", json.dumps([SPOTIFY, podcast, heard]))
    assert (skipped.user, skipped.at) == ("rob", AT)
    assert [import_plays.to_play_event(each, "rob", "2")["event"] for each in (skipped, whole)] == [
        "skipped",
        "finished",
    ]


def test_the_same_listen_is_the_same_event_and_a_good_one(tmp_path):
    (listen,) = read(tmp_path, "l.jsonl", LISTENBRAINZ)
    event = import_plays.to_play_event(listen, "rob", "2")
    assert (
        event["event_id"]
        == import_plays.to_play_event(listen, "rob", "2")["event_id"]
        != import_plays.to_play_event(listen, "ann", "2")["event_id"]
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
    assert (
        known(artist="Sigur Rós", title="Hoppípolla").match(import_plays.Listen(None, artist, title, AT))
        == "7"
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("The Beatles", "Come Together"), ("Beatles, The", "Come Together - Remastered 2009")),
        (("Simon & Garfunkel", "Cecilia"), ("Simon and Garfunkel", "Cecilia")),
        (("Nina Simone", "Feeling Good"), ("Nina Simone", "Feeling Good (2013 Remastered Version)")),
        (("Jay", "Run (feat. Ada)"), ("Jay", "Run ft. Ada")),
        (("Jay", "Run"), ("Jay (featuring Ada)", "Run")),
        (("Beyoncé", "Halo"), ("Beyonce\u0301", "\uff28alo")),  # composed or not, full width
        (("AC/DC", "T.N.T."), ("ACDC", "TNT")),
        (("Kraftwerk", "Die Straße"), ("KRAFTWERK", "DIE STRASSE")),
    ],
)
def test_what_services_write_differently_matches(ours, theirs):
    assert import_plays.match_key(*ours) == import_plays.match_key(*theirs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Sigur Rós", "Sæglópur"), ("Sigur Rós", "Hoppípolla")),
        (("Múm", "Hoppípolla"), ("Sigur Rós", "Hoppípolla")),
        (("坂本龍一", "愛"), ("坂本龍一", "恋")),
        (("The The", "Giant"), ("", "Giant")),
        (("Band", "Live and Let Die"), ("Band", "Live")),
        (("Defeater", "Ftisland"), ("De", "")),
        (("X", "With"), ("X", "")),
        (("X", "Song (Live at Wembley)"), ("X", "Song")),
    ],
)
def test_other_tracks_do_not_match(one, other):
    assert import_plays.match_key(*one) != import_plays.match_key(*other)


def known(**columns):
    return import_plays.TrackMatcher(
        [{"track_id": "7", "artist": "A", "title": "T", "recording_mbid": None} | columns]
    )


def test_musicbrainz_id_goes_before_names():
    tracks = import_plays.TrackMatcher(
        [
            {"track_id": "1", "artist": "AWOL", "title": "Food", "recording_mbid": None},
            {"track_id": "2", "artist": "Awol", "title": "Fod", "recording_mbid": MBID},
        ]
    )
    assert tracks.match(import_plays.Listen(None, "AWOL", "Food", AT, mbids=(MBID.upper(),))) == "2"
    assert tracks.match(import_plays.Listen(None, "AWOL", "Food", AT, mbids=("0" * 8,))) == "1"


def outcome(lines, there=(), user="rob", tracks=None):
    result = import_plays.ImportResult(dict.fromkeys(("listens", "sent", "there already", "unmatched"), 0))
    tracks = tracks or known(artist="AWOL", title="Food")
    return list(import_plays.to_events(lines, user, tracks, there, result)), result


def test_what_matches_nothing_is_counted_and_told_and_what_is_there_is_not_sent_again():
    lines = [
        *(import_plays.Listen(None, "AWOL", "Food", AT + timedelta(minutes=n)) for n in range(2)),
        *(import_plays.Listen(None, "Nobody", f"Song {n % 2}", AT) for n in range(3)),
    ]
    sent, result = outcome(lines)
    assert result.counts == {"listens": 5, "sent": 2, "there already": 0, "unmatched": 3} and len(sent) == 2
    assert (
        result.top_unmatched()[0] == {"artist": "Nobody", "title": "Song 0", "listens": 2}
        and len(result.top_unmatched()) == 2
    )
    sent, result = outcome(lines, there={sent[0]["event_id"]})
    assert (result.counts["sent"], result.counts["there already"], len(sent)) == (1, 1, 1)
    with pytest.raises(InputError, match="--user"):
        outcome(lines, user=None)


def test_a_history_is_read_a_piece_at_a_time(tmp_path):
    rows = [
        {**SPOTIFY, "ms_played": n, "master_metadata_track_name": 'a "quoted], title'} for n in range(2_000)
    ]
    text = "\ufeff \n" + json.dumps(rows)
    assert [listen.played_s for listen in read(tmp_path, "s.json", text)] == [n / 1000 for n in range(2_000)]
    lines = import_plays.read_history(tmp_path / "s.json")
    next(lines)
    (tmp_path / "s.json").write_text("")  # what follows was not kept anywhere
    with pytest.raises(InputError, match="^expected a history"):
        list(lines)
    with pytest.raises(InputError, match="^expected a history"):
        read(tmp_path, "torn.json", json.dumps(rows)[:-100])
    whole = (tmp_path / "many.jsonl").open("w")
    whole.writelines(LISTENBRAINZ + "\n" for _ in range(3))
    whole.close()
    lines = import_plays.read_history(tmp_path / "many.jsonl")
    assert next(lines).title == "Food"
    (tmp_path / "many.jsonl").write_text("")  # what follows was not kept anywhere
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
def test_what_is_no_history_is_told(tmp_path, name, text):
    with pytest.raises(InputError, match="^expected") as error:
        read(tmp_path, name, text)
    assert "\n" not in str(error.value)
