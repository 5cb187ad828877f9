"""Which spellings of artist and title match a track, and which do not."""

import pytest

from jobs.plays.track_matching import TrackMatcher, match_key

MBID = "8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"


def track(track_id, artist, title, album=None, mbid=None):
    return {"track_id": track_id, "artist": artist, "title": title, "album": album, "recording_mbid": mbid}


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
    assert TrackMatcher([track("7", "Sigur Rós", "Hoppípolla")]).match(artist, title) == "7"


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
        (("ガガ", "Song"), ("ｶﾞｶﾞ", "song")),
        (("Kraftwerk", "Die Straße"), ("KRAFTWERK", "DIE STRASSE")),
    ],
)
def test_spellings_of_two_services_match(ours, theirs):
    assert match_key(*ours) == match_key(*theirs)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Sigur Rós", "Sæglópur"), ("Sigur Rós", "Hoppípolla")),
        (("Múm", "Hoppípolla"), ("Sigur Rós", "Hoppípolla")),
        (("坂本龍一", "愛"), ("坂本龍一", "恋")),
        (("The The", "Giant"), ("", "Giant")),
        (("Band", "Live and Let Die"), ("Band", "Live")),
        (("Defeater", "Ftisland"), ("De", "")),
        (("X", "With"), ("X", "")),
        (("काल", "Song"), ("कील", "Song")),
        (("X", "กิน"), ("X", "กึน")),
        (("ガガ", "Song"), ("カカ", "Song")),
        (("!!!", "Song"), ("÷÷÷", "Song")),
        (("X", "Song (Live at Wembley)"), ("X", "Song")),
    ],
)
def test_different_tracks_do_not_match(first, second):
    assert match_key(*first) != match_key(*second)


def test_musicbrainz_id_goes_before_names():
    matcher = TrackMatcher([track("1", "AWOL", "Food"), track("2", "Awol", "Fod", mbid=MBID)])
    assert matcher.match("AWOL", "Food", mbids=(MBID.upper(),)) == "2"
    assert matcher.match("AWOL", "Food", mbids=("0" * 8,)) == "1"


def test_album_decides_between_tracks_of_one_name():
    matcher = TrackMatcher(
        [
            track("2", "AWOL", "Food", "A Way Of Life"),
            track("1", "AWOL", "Food", "Best of"),
            track("3", "AWOL", "Food", "A Way Of Life"),
        ]
    )
    assert matcher.match("AWOL", "Food", album="a way of life!") == "2"
    assert matcher.match("AWOL", "Food", album="Another") == matcher.match("AWOL", "Food") == "1"
    assert matcher.same_name("awol", "Food (Remastered)") == ["1", "2", "3"]


def test_unknown_name_matches_nothing():
    matcher = TrackMatcher([track("1", "AWOL", "Food"), track("2", None, "Food"), track("3", "AWOL", None)])
    assert matcher.match("AWOL", "Drink") is None and matcher.same_name("AWOL", "Drink") == []
    assert len(TrackMatcher([])) == 0 < len(matcher)


def test_track_with_audio_goes_before_one_without():
    """The player has no other; an import must match the same."""
    rows = [track("1", "AWOL", "Food", mbid=MBID), track("2", "AWOL", "Food", mbid=MBID)]
    rows[1]["audio_path"] = "2.mp3"
    matcher = TrackMatcher(rows)
    assert matcher.match("AWOL", "Food") == matcher.match("x", "y", mbids=(MBID,)) == "2"
    assert matcher.same_name("AWOL", "Food") == ["2", "1"]


def test_names_are_compared_by_their_beginning():
    matcher = TrackMatcher([track("1", "AWOL", "x" * 400)])
    assert matcher.match("AWOL", "x" * 400) == "1" and matcher.match("AWOL", "x" * 299) is None


@pytest.mark.parametrize(
    ("credit", "album", "expected"),
    [
        ("Ada", None, "1"),
        ("Ada feat. Ben & Cleo", None, "1"),
        ("Ada, Ben & Cleo", None, "1"),
        ("Ada, Ben, Cleo", None, "1"),
        ("Ada & Ben & Cleo", None, "1"),
        ("Ada; Ben; Cleo", None, "1"),
        ("Ada; Dora", None, "1"),
        ("Ben", None, None),  # it may be a song of Ben's own
        ("Ben", "Night", "1"),
        ("Cleo", "night!", "1"),
        ("Cleo", "Day", None),
        ("Ada & Ben", None, None),
        ("Dora", "Night", None),
    ],
)
def test_all_artists_of_a_track_match(credit, album, expected):
    artists = ["Ada", "Ben", "Cleo"]
    matcher = TrackMatcher([{**track("1", "Ada w/ Ben w/ Cleo", "Song", "Night"), "artists": artists}])
    assert matcher.match(credit, "Song", album=album) == expected
    assert matcher.match(credit, "Other", album=album) is None


def test_track_of_the_artist_goes_before_one_with_the_artist_as_guest():
    own = track("2", "Ben", "Song", "Day")
    guest = {**track("1", "Ada feat. Ben", "Song", "Night"), "artists": ["Ada", "Ben"]}
    assert TrackMatcher([guest, own]).match("Ben", "Song", album="Night") == "2"
    assert TrackMatcher([guest, own]).same_name("Ben", "Song") == ["2"]
