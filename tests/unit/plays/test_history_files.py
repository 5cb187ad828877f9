"""Listening histories of three services, in the forms that they export."""

import gc
import json
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

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
LASTFM = {"track": "Food", "artist": "AWOL", "album": "A Way Of Life", "albumId": ""}
API = {
    "artist": {"mbid": "", "#text": "AWOL"},
    "album": {"mbid": "", "#text": "A Way Of Life"},
    "name": "Food",
    "mbid": MBID,
    "date": {"uts": str(SECONDS), "#text": "21 Nov 2026, 20:15"},
}
MALOJA = {
    "time": SECONDS,
    "track": {"artists": ["AWOL"], "title": "Food", "album": {"albumtitle": "A Way Of Life", "artists": []}},
    "duration": None,
    "origin": "client:x",
}
MALOJA_API = {"time": SECONDS, "artists": ["AWOL"], "title": "Food", "album": "A Way", "duration": None}
PANO = {"timeMs": 1000 * SECONDS, "track": "Food", "artist": "AWOL", "album": "A Way", "event": "scrobble"}


def aliases(name):
    other = {"alias": "other", "source": "MusicBrainz", "is_primary": False}
    return [other, {"alias": name, "source": "Canonical", "is_primary": True}]


KOITO = {
    "listened_at": "2026-11-21T20:15:00Z",
    "client": "test client",
    "track": {"mbid": MBID, "duration": 354, "aliases": aliases("Food")},
    "album": {"image_url": "", "mbid": None, "aliases": aliases("A Way"), "various_artists": False},
    "artists": [
        {"image_url": "", "mbid": None, "is_primary": False, "aliases": aliases("Guest")},
        {"image_url": "", "mbid": None, "is_primary": True, "aliases": aliases("AWOL")},
    ],
}
KOITO_EXPORT = {"version": "1", "exported_at": "2026-11-25T12:56:53Z", "user": "rob", "listens": [KOITO]}
LOG = (
    "#AUDIOSCROBBLER/1.1\n#TZ/{}\n#CLIENT/Rockbox ipod6g\n"
    f"AWOL\tA Way Of Life\tFood\t1\t168\tL\t{{}}\t{MBID}\n"
)


def read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return list(read_history(tmp_path / name))


def read_all(tmp_path, name, data):
    """Return the starts of the listens in minutes after AT, and the rejected rows."""
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    rejected = []
    listens = list(read_history(tmp_path / name, reject=rejected.append))
    return [(listen.started_at - AT).total_seconds() / 60 for listen in listens], rejected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.jsonl", LISTENBRAINZ + "\n\n"),
        ("array.json", f"[{EXPORTED}]"),
        ("lines.json", DUMPED + "\n"),
        ("payload.json", f'{{"payload": {{"count": 1, "listens": [{EXPORTED}], "user_id": "rob"}}}}'),
        ("stats.json", json.dumps({"username": "rob", "scrobbles": [{**LASTFM, "date": 1000 * SECONDS}]})),
        ("api.json", json.dumps({"recenttracks": {"track": [API], "@attr": {"user": "rob", "page": "1"}}})),
        ("pages.json", json.dumps([{"track": [API], "@attr": {"page": "1"}}, {"track": [], "@attr": {}}])),
        ("maloja.json", json.dumps({"maloja": {"export_time": 1}, "scrobbles": [MALOJA]})),
        ("year.json", json.dumps([{**SPOTIFY, "ts": "2026-11-21 20:18:00 UTC", "ms_played": 180_000}])),
        (
            "libre.csv",
            "+ACM- Export of Libre.fm,,,\n+ACM- 2026+AC0-11,,,\n+ACM- host,,,\nArtist,Track,Album,Time\n"
            f"AWOL,Food,A Way,{SECONDS}\n",
        ),
        (
            "spins.csv",
            '"Playlist Title","The Rack"\n"DJ Name","DJ Tom"\n"Start Date","Nov 21, 2026"\n"Start","1:00"\n\n'
            "Date-time,Artist,Song,Release,Label\n2026-11-21T15:15:00-0500,AWOL,Food,A Way,Label\n",
        ),
        ("submission.json", json.dumps({"listen_type": "import", "payload": [json.loads(EXPORTED)]})),
        ("short_maloja.json", json.dumps({"scrobbles": [{"time": SECONDS, "track": MALOJA["track"]}]})),
        ("maloja_api.json", json.dumps({"list": [MALOJA_API]})),
        ("koito_export.json", json.dumps(KOITO_EXPORT, indent=2)),
        ("pano.jsonl", json.dumps(PANO) + "\n"),
        (".scrobbler.log", LOG.format("UTC", SECONDS)),
        ("lastexport.tsv", f"{SECONDS}\tFood\tAWOL\tA Way Of Life\t{MBID}\t\t\n"),
        ("hint.csv", "sep=;\nArtist;Track;Date\nAWOL;Food;21 Nov 2026 20:15\n"),
        ("names.csv", "Time,Track Name,Artist Name\n2026-11-21 20:15:00,Food,AWOL\n"),
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
    assert len(list(lines)) < 1_999
    (tmp_path / "many.jsonl").write_text((LISTENBRAINZ + "\n") * 3_000)
    lines = read_history(tmp_path / "many.jsonl")
    assert next(lines).title == "Food"
    (tmp_path / "many.jsonl").write_text("")  # the rest was in no buffer
    assert len(list(lines)) < 2_999


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.xml", ""),
        ("x.jsonl", "{}"),
        ("x.json", "{}x"),
        ("x.json", "{}"),
        ("x.json", ""),
        ("x.csv", "a,b\n"),
        ("x.json", '[{"playlists": []}, 7, null]'),
    ],
)
def test_file_that_is_no_history_is_refused_in_one_line(tmp_path, name, text):
    with pytest.raises(InputError, match="^expected") as error:
        read(tmp_path, name, text)
    assert "\n" not in str(error.value)


def spotify(minute, **changed):
    end = AT + timedelta(minutes=minute, seconds=4)
    return {**SPOTIFY, "ts": f"{end:%Y-%m-%dT%H:%M:%SZ}", **changed}


def short(minute, **changed):
    return {**SHORT, "endTime": f"{AT + timedelta(minutes=minute + 3):%Y-%m-%d %H:%M}", **changed}


def brainz(minute, **changed):
    names = {"artist_name": "AWOL", "track_name": "Food"}
    return {"listened_at": SECONDS + 60 * minute, "track_metadata": names, **changed}


EPISODE = {"endTime": "2026-11-21 20:18", "podcastName": "P", "episodeName": "E", "msPlayed": 1}
NO_NAMES = {"master_metadata_track_name": None, "master_metadata_album_artist_name": None}


@pytest.mark.parametrize(
    ("good", "bad", "reason"),
    [
        (spotify, spotify(1, ms_played=None), "unreadable row"),
        (spotify, spotify(1, ms_played=-1), "unreadable row"),
        (spotify, spotify(1, ms_played=float("nan")), "unreadable row"),
        (spotify, spotify(1, ts=None), "no time"),
        (spotify, spotify(1, ts="yesterday"), "unreadable time"),
        (spotify, spotify(1, ts="2199-01-01T00:00:00Z"), "unreadable time"),
        (spotify, spotify(1, **NO_NAMES, episode_name="E"), "podcast episode"),
        (spotify, spotify(1, **NO_NAMES, audiobook_title="B", audiobook_chapter_title="1"), "audiobook"),
        (spotify, spotify(1, **NO_NAMES), "no artist or title"),
        (spotify, {"ts": "2026-11-21T20:15:04Z", "ms_played": 1}, "no artist or title"),
        (spotify, spotify(1, master_metadata_track_name=["Food"]), "no artist or title"),
        (spotify, spotify(1, master_metadata_track_name="\ud800"), "not UTF-8"),
        (short, short(1, artistName=None, trackName=None), "no artist or title"),
        (short, short(1, artistName="Unknown Artist", trackName="Unknown Track"), "no artist or title"),
        (short, EPISODE, "podcast episode"),
        (short, {"endTime": "2026-11-21 20:18", "audiobookName": "B", "msPlayed": 1}, "audiobook"),
        (brainz, brainz(1, track_metadata=None), "no artist or title"),
        (brainz, brainz(1, track_metadata={"artist_name": "AWOL", "track_name": None}), "no artist or title"),
        (brainz, brainz(1, listened_at=None), "no time"),
        (brainz, brainz(1, listened_at=0), "no time"),
        (brainz, brainz(1, listened_at={}), "unreadable time"),
        (brainz, None, "unknown kind of row"),
        (brainz, {"x": 1}, "unknown kind of row"),
        (lambda minute: {**LASTFM, "date": SECONDS + 60 * minute}, {**API, "date": None}, "no time"),
    ],
)
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_row_that_is_no_listen_is_rejected_and_the_rest_read(tmp_path, good, bad, reason, suffix):
    for rows in ([good(0), bad, good(2)], [bad, good(0), good(2)]):
        text = json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows))
        minutes, rejected = read_all(tmp_path, f"history.{suffix}", text)
        assert minutes == [0, 2]
        assert [(row.row, row.reason) for row in rejected] == [(rows.index(bad) + 1, reason)]
        assert json.loads(rejected[0].content) == bad or bad["ms_played"] != bad["ms_played"]
        assert json.loads(json.dumps(rejected[0].to_dict()))["file"] == f"history.{suffix}"


@pytest.mark.parametrize("separator", [b"\n", b",\n", b", "])
@pytest.mark.parametrize(
    "bad",
    [
        b'{"listened_at": 1, "track_metadata": {"artist_name": "Bj\xf6rk", "track_name": "x"}}',
        b'{"listened_at": 1620000000, "track_metadata": {',
        b'{"listened_at": 1620000000, "track_metadata": {"artist_name": "AWOL" "x"}}',
        b"{'listened_at': 1}",
        b'{"listened_at": 1, "track_metadata": ' + b"[" * 20_000 + b"}",
    ],
)
def test_row_that_is_no_json_ends_nothing(tmp_path, separator, bad):
    if separator == b", " and not bad.endswith(b"}"):
        return  # without a line end nothing says where the next row begins
    rows = separator.join((json.dumps(brainz(0)).encode(), bad, json.dumps(brainz(2)).encode()))
    minutes, rejected = read_all(tmp_path, "history.json", rows if separator == b"\n" else b"[%b]" % rows)
    assert (minutes, len(rejected)) == ([0, 2], 1)


def test_torn_file_gives_its_whole_rows(tmp_path):
    text = json.dumps([brainz(n) for n in range(3)])
    assert read_all(tmp_path, "torn.json", text[:-20])[0] == [0, 1]
    minutes, rejected = read_all(tmp_path, "torn.json", text[:-1])
    assert minutes == [0, 1, 2] and "end of the file" in rejected[0].found


def test_file_torn_after_the_name_of_a_member_gives_its_rows(tmp_path):
    assert read_all(tmp_path, "torn.json", json.dumps([brainz(0)]) + ', "page": ')[0] == [0]


def test_history_that_is_refused_leaves_no_message_behind(tmp_path, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    (tmp_path / "s.csv").write_text("a,b\n" * 2_000)
    with pytest.raises(InputError):
        list(read_history(tmp_path / "s.csv"))
    gc.collect()
    assert unraisable == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("AWOL,H,Food,yesterday", "unreadable time"),
        ("AWOL,H,Food,", "no time"),
        ("AWOL", "no artist or title"),
        (",H,Food,21 Nov 2026 20:16", "no artist or title"),
        ("AWOL,H,Food,21 Nov 2026 20:16,more", "unreadable row"),
        ('"AWOL,H,Food,21 Nov 2026 20:16', "unreadable row"),
        (b"Bj\xf6rk,H,Food,21 Nov 2026 20:16", "not UTF-8"),
        ("A" * 200_000 + ",H,Food,21 Nov 2026 20:16", "unreadable row"),
    ],
)
@pytest.mark.parametrize("has_header", [True, False])
def test_line_that_is_no_listen_is_rejected_and_the_rest_read(tmp_path, bad, reason, has_header):
    header = b"Artist,Album,Track,Date\n" if has_header else b""
    bad = bad.encode() if isinstance(bad, str) else bad
    lines = [b"AWOL,H,Food,21 Nov 2026 20:15", b'AWOL,H,"a\nb ""c""",21 Nov 2026 20:17']
    lines.insert(1, lines[0])
    for rows in ([bad, *lines], [lines[0], bad, *lines[1:]]):
        minutes, rejected = read_all(tmp_path, "s.csv", header + b"\n".join(rows))
        assert minutes == [0, 0, 2]
        assert [row.reason for row in rejected] == [reason]


def test_times_without_zone_follow_the_rule_of_each_form(tmp_path):
    berlin = ZoneInfo("Europe/Berlin")
    files = {
        "text.csv": ("Artist,Track,Date\nAWOL,Food,21 Nov 2026 21:15\n", berlin),
        "utc.csv": ("Artist,Track,utc_time\nAWOL,Food,21 Nov 2026 20:15\n", berlin),
        "uts.csv": (f"Artist,Track,uts,date\nAWOL,Food,{SECONDS},21 Nov 2026 21:15\n", berlin),
        "short.json": (json.dumps([SHORT]), berlin),
        "unknown.log": (LOG.format("UNKNOWN", SECONDS + 3600), berlin),
        "utc.log": (LOG.format("UTC", SECONDS), berlin),
        "unknown_utc.log": (LOG.format("UNKNOWN", SECONDS), UTC),
    }
    for name, (text, zone) in files.items():
        (tmp_path / name).write_text(text)
        assert [listen.started_at for listen in read_history(tmp_path / name, zone=zone)] == [AT], name


def test_scrobbler_log_has_skips_and_rejects_an_unset_clock(tmp_path):
    text = LOG.format("UTC", SECONDS) + f"AWOL\t\tFood\t1\t168\tS\t{SECONDS}\nAWOL\t\tFood\t1\t168\tL\t0\t\n"
    minutes, rejected = read_all(tmp_path, ".scrobbler.log", text)
    assert minutes == [0, 0] and [row.reason for row in rejected] == ["no time"]
    assert [listen.is_finished for listen in read_history(tmp_path / ".scrobbler.log")] == [True, False]


def test_archives_of_listenbrainz_and_spotify_are_read(tmp_path):
    members = {
        "user.json": '{"user_id": 7, "username": "rob"}',
        "feedback.jsonl": '{"score": 1}\n',
        "listens/2026/11.jsonl": json.dumps(brainz(0)) + "\n{}\n",
        "listens/2026/12.jsonl": "",
        "Spotify Account Data/StreamingHistory_music_0.json": json.dumps([short(2)]),
        "Spotify Account Data/StreamingHistory_podcast_0.json": json.dumps([EPISODE]),
        "Spotify Account Data/Playlist1.json": "{}",
    }
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    minutes, rejected = read_all(tmp_path, "export.zip", (tmp_path / "export.zip").read_bytes())
    assert sorted(minutes) == [0, 2]
    assert sorted(row.reason for row in rejected) == ["podcast episode", "unknown kind of row"]
    assert {listen.user for listen in read_history(tmp_path / "export.zip")} == {"rob"}


def test_text_in_utf_7_is_read(tmp_path):
    text = "# a remark,,\nArtist,Track,Time\nBjörk,Jóga+,1690347960\n".encode("utf-7")
    (listen,) = read(tmp_path, "libre.csv", (b"+ACM-" + text.removeprefix(b"#")).decode())
    assert (listen.artist, listen.title) == ("Björk", "Jóga+")


def test_text_in_utf_16_is_read(tmp_path):
    text = "Artist\tTrack\tDate\nAWOL\tFood\t21 Nov 2026 20:15\n"
    assert read_all(tmp_path, "excel.txt", text.encode("utf-16"))[0] == [0]
    assert read_all(tmp_path, "powershell.json", json.dumps([brainz(0)]).encode("utf-16"))[0] == [0]
