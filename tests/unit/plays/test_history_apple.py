"""The two tables of Apple Music, with the columns of a copy of an account's data."""

import zipfile
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from jobs.plays.history_apple import ACTIVITY, DAILY
from jobs.plays.history_files import read_history

AT = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)

ACTIVITY_TABLE = """\
Album Name,Container Artist Name,End Reason Type,Event End Timestamp,Event Start Timestamp,Event Type,\
Media Type,Milliseconds Since Play,Play Duration Milliseconds,Song Name,UTC Offset In Seconds
A Way,,NATURAL_END_OF_TRACK,2026-11-21T20:18:00.5Z,2026-11-21T20:15:00Z,PLAY_END,AUDIO,1,180500,Food,3600
A Way,,TRACK_SKIPPED_FORWARDS,2026-11-21T20:20:10Z,,PLAY_END,AUDIO,1,10000,FOOD,3600
,AWOL,,2026-11-21T20:23:00Z,2026-11-21T20:22:00Z,PLAY_END,AUDIO,1,-5,"Else, ""live"" 1",3600
,,,2026-11-21T20:23:00Z,2026-11-21T20:22:00Z,LYRIC_DISPLAY,AUDIO,1,0,Food,3600
,,,2026-11-21T20:23:00Z,2026-11-21T20:22:00Z,PLAY_END,VIDEO,1,60000,Food,3600
,,,2026-11-21T20:23:00Z,2026-11-21T20:22:00Z,PLAY_END,AUDIO,1,60000,Of two,3600
,,,2026-11-21T20:23:00Z,2026-11-21T20:22:00Z,PLAY_END,AUDIO,1,60000,,3600
,,,,,PLAY_END,AUDIO,1,60000,Food,3600
"""
DAILY_TABLE = """\
Country,Track Identifier,Media type,Date Played,Hours,Play Duration Milliseconds,End Reason Type,Source Type,\
Play Count,Skip Count,Ignore For Recommendations,Track Reference,Track Description
DE,1445,AUDIO,20261121,"20, 21",360000,NATURAL_END_OF_TRACK,IPHONE,2,0,,1445,AWOL - Food
DE,1446,AUDIO,20261121,9,10000,TRACK_SKIPPED_FORWARDS,IPHONE,0,1,,1446,One - Of two
DE,1447,AUDIO,20261121,9,10000,TRACK_SKIPPED_FORWARDS,IPHONE,0,0,,1447,Other - Of two
DE,1448,VIDEO,20261121,9,10000,,IPHONE,1,0,,1448,AWOL - Film
DE,1449,AUDIO,20261121,9,10000,,IPHONE,1,0,,1449,
DE,1450,AUDIO,N/A,9,10000,,IPHONE,1,0,,1450,AWOL - Food
DE,1451,AUDIO,20261121,9,10000,,IPHONE,999999999,0,,1451,AWOL - Food
"""


def read(path, **options):
    rejected = []
    return list(read_history(path, reject=rejected.append, **options)), [row.reason for row in rejected]


def test_plays_have_their_time_and_the_artist_of_the_other_table(tmp_path):
    (tmp_path / ACTIVITY).write_text(ACTIVITY_TABLE)
    (tmp_path / DAILY).write_text("\ufeff" + DAILY_TABLE)
    listens, rejected = read(tmp_path / ACTIVITY)
    assert [(each.artist, each.title, each.started_at - AT, each.is_finished) for each in listens] == [
        ("AWOL", "Food", timedelta(0), True),
        ("AWOL", "FOOD", timedelta(minutes=5), False),
        ("AWOL", 'Else, "live" 1', timedelta(minutes=7), False),
    ]
    assert [each.played_s for each in listens] == [180.5, 10.0, None]
    assert rejected == ["not a play", "video", *["no artist or title"] * 2, "no time"]


def test_plays_without_the_other_table_are_rejected(tmp_path):
    (tmp_path / ACTIVITY).write_text(ACTIVITY_TABLE)
    listens, rejected = read(tmp_path / ACTIVITY)
    assert [each.artist for each in listens] == ["AWOL"]
    assert rejected.count("no artist or title") == 5


def test_daily_table_gives_listens_of_its_hour(tmp_path):
    (tmp_path / DAILY).write_text(DAILY_TABLE)
    listens, rejected = read(tmp_path / DAILY, zone=ZoneInfo("Europe/Berlin"))
    at = AT.replace(hour=19, minute=0)
    morning = at.replace(hour=8)
    assert [(each.artist, each.title, each.started_at, each.is_finished) for each in listens] == [
        ("AWOL", "Food", at, True),
        ("AWOL", "Food", at + timedelta(minutes=3), True),
        ("One", "Of two", morning, False),
        ("Other", "Of two", morning, False),
    ]
    assert rejected == ["video", "no artist or title", "no time", "unreadable row"]


def test_tables_of_one_folder_count_once(tmp_path):
    (tmp_path / ACTIVITY).write_text(ACTIVITY_TABLE)
    (tmp_path / DAILY).write_text(DAILY_TABLE)
    listens, rejected = read(tmp_path / DAILY)
    assert (listens, set(rejected)) == ([], {"not a play"})
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as inner:
        for name in (ACTIVITY, DAILY):
            inner.write(tmp_path / name, f"Apple Music Activity/{name}")
    with zipfile.ZipFile(tmp_path / "Apple_Media_Services.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip", "Apple_Media_Services/Apple Music Activity.zip")
    assert read(tmp_path / "Apple_Media_Services.zip") == read(tmp_path / ACTIVITY)
