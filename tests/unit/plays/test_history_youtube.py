"""YouTube's history of Google Takeout: music by artist and title, videos counted."""

import json
from datetime import UTC, datetime

import pytest

from jobs.plays.history_files import read_history

MUSIC = {
    "header": "YouTube Music",
    "title": "Watched Food",
    "titleUrl": "https://music.youtube.com/watch?v=-5OzNTZystM",
    "subtitles": [
        {"name": "AWOL - Topic", "url": "https://www.youtube.com/channel/UC-oXNBXG4lHLc7cNuK6mwPQ"}
    ],
    "time": "2026-11-21T20:15:00.537Z",
    "products": ["YouTube"],
    "activityControls": ["YouTube watch history"],
}


def read(tmp_path, *rows):
    (tmp_path / "watch-history.json").write_text(json.dumps(rows, ensure_ascii=False))
    rejected = []
    listens = list(read_history(tmp_path / "watch-history.json", reject=rejected.append))
    return listens, [row.reason for row in rejected]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"title": "Food angesehen"},
        {"title": "„Food“ angesehen"},
        {"title": "Vous avez regardé Food"},
        {"title": "Food を視聴しました"},
        {"title": "Has visto Food"},
        {"header": "YouTube", "details": [{"name": "From YouTube Music"}], "titleUrl": None},
        {"header": "YouTube"},  # by its address
        {"subtitles": [{"name": "AWOL"}], "title": "Watched AWOL - Food"},
        {"subtitles": [{"name": "AwolVEVO"}], "title": "Watched AWOL - Food"},
        {"subtitles": [{"name": "AWOL"}]},
    ],
)
def test_music_is_read(tmp_path, changed):
    (listen,), rejected = read(tmp_path, {**MUSIC, **changed})
    assert (listen.artist, listen.title) == ("AWOL", "Food")
    assert listen.started_at == datetime(2026, 11, 21, 20, 15, 0, 537_000, tzinfo=UTC)
    assert rejected == []


def test_title_of_an_english_account_is_not_cut_by_another_language(tmp_path):
    (listen,), _ = read(tmp_path, {**MUSIC, "title": "Watched Så Food angesehen"})
    assert listen.title == "Så Food angesehen"


def test_videos_and_removed_pieces_are_rejected_by_reason(tmp_path):
    url = "https://www.youtube.com/watch?v=8cyuOcb5O_M"
    video = {**MUSIC, "header": "YouTube", "titleUrl": url}
    removed = {**MUSIC, "title": f"Watched {url}", "subtitles": None}
    unnamed = {key: value for key, value in MUSIC.items() if key != "subtitles"}
    listens, rejected = read(tmp_path, video, removed, MUSIC, unnamed, {**MUSIC, "time": "yesterday"})
    assert len(listens) == 1
    assert rejected == ["video", *["no artist or title"] * 2, "unreadable time"]


def test_history_of_videos_alone_is_no_error(tmp_path):
    assert read(tmp_path, {**MUSIC, "header": "YouTube", "titleUrl": ""}) == ([], ["video"])
