"""Which tracks make an album, by whom it is and who performs, from tags alone, and from folders without."""

import pytest

from jobs.audio.artist_names import VARIOUS_ARTISTS, common_artist, split_artists, without_artist
from serving import album_grouping
from serving.track_columns import TrackColumns


def row(path, artist, album="Suite", **tags):
    return {
        "track_id": path,
        "path": f"/m/{path}",
        "artist": artist,
        "album": album,
        "source": "tags",
        **tags,
    }


def credits_of(*rows):
    return album_grouping.credit_tracks(TrackColumns.from_rows(rows))


def credited(*rows):
    found = credits_of(*rows)
    return list(zip(found.album_artist, found.artists, strict=True))


@pytest.mark.parametrize(
    ("credit", "artists"),
    [
        ("Ada", ["Ada"]),
        ("Ada feat. Eve", ["Ada", "Eve"]),
        ("Ada (ft. Eve)", ["Ada", "Eve"]),
        ("Ada Featuring Simon & Garfunkel", ["Ada", "Simon & Garfunkel"]),
        ("Ada; Eve", ["Ada", "Eve"]),
        ("Ada / Eve", ["Ada", "Eve"]),
        ("AC/DC", ["AC/DC"]),
        ("Earth, Wind & Fire", ["Earth, Wind & Fire"]),
        ("Feat", ["Feat"]),
        ("", [""]),
    ],
)
def test_credit_is_split_at_guests_only(credit, artists):
    assert split_artists(credit) == artists


@pytest.mark.parametrize(
    ("credit", "others"),
    [
        ("Ada & The Sea", "The Sea"),
        ("ada, Eve", "Eve"),
        ("Ada x Eve", "Eve"),
        ("Adam", None),
        ("Ada Lovelace", None),
        ("Ada", None),
        ("Eve & Ada", None),
    ],
)
def test_others_of_a_credit_that_begins_with_an_artist(credit, others):
    assert without_artist(credit, "Ada") == others


def test_common_artist_is_with_guests_or_none():
    assert common_artist(["Ada & Eve", "Ada", "ADA"]) == "Ada"
    assert common_artist(["Ada", "Adam"]) is None


def test_tag_of_album_artist_precedes_all():
    rows = [row(f"x/{n}.mp3", name, album_artist="The Band") for n, name in enumerate(("Ada", "Eve"))]
    assert credited(*rows) == [("The Band", ("Ada",)), ("The Band", ("Eve",))]
    assert credited(row("x.mp3", "Ada", album_artist="VA"))[0][0] == VARIOUS_ARTISTS
    both = row("x.mp3", "Ada", album_artist="Ada & Eve", album_artists=["Ada", "Eve"])
    found = credits_of(both)
    assert (found.album_artist, found.album_artists) == (["Ada & Eve"], [("Ada", "Eve")])


def test_compilation_is_by_various_artists():
    flagged = [row(f"{name}/1.mp3", name, is_compilation=True) for name in ("Ada", "Eve")]
    assert {name for name, _ in credited(*flagged)} == {VARIOUS_ARTISTS}
    in_folder = [row(f"x/{n}.mp3", name, track_no=n) for n, name in enumerate(("Ada", "Eve"), 1)]
    assert {name for name, _ in credited(*in_folder)} == {VARIOUS_ARTISTS}


def test_guests_do_not_split_an_album():
    rows = [
        row("x/1.mp3", "Ada"),
        row("x/2.mp3", "Ada feat. Eve"),
        row("x/3.mp3", "Ada & The Sea"),
        row("y/4.mp3", "Ada feat. Joy"),  # another folder
    ]
    assert credited(*rows) == [
        ("Ada", ("Ada",)),
        ("Ada", ("Ada", "Eve")),
        ("Ada", ("Ada", "The Sea")),
        ("Ada", ("Ada", "Joy")),
    ]


def test_albums_of_one_name_stay_apart():
    in_one_folder = [row(f"x/{name}{n}.mp3", name, track_no=n) for name in ("Ada", "Eve") for n in (1, 2)]
    assert [name for name, _ in credited(*in_one_folder)] == ["Ada", "Ada", "Eve", "Eve"]
    in_two = [row("x/1.mp3", "Ada"), row("y/1.mp3", "Eve")]
    assert [name for name, _ in credited(*in_two)] == ["Ada", "Eve"]


def test_discs_of_one_album_are_one_folder():
    rows = [
        row("x/CD 1/1.mp3", "Ada", disc_no=1, track_no=1),
        row("x/CD 2/1.mp3", "Eve", disc_no=2, track_no=1),
    ]
    assert {name for name, _ in credited(*rows)} == {VARIOUS_ARTISTS}


def test_track_without_album_artist_joins_the_album_of_its_folder():
    rows = [row("x/1.mp3", "Ada", album_artist="Ada", track_no=1), row("x/2.mp3", "Bob", track_no=2)]
    assert [name for name, _ in credited(*rows)] == ["Ada", "Ada"]


def test_fma_and_single_tracks_are_by_their_artists():
    fma = [row(f"000/{n}.mp3", name, source="fma") for n, name in enumerate(("Ada", "Eve"))]
    assert [name for name, _ in credited(*fma)] == ["Ada", "Eve"]
    single = row("x.mp3", "Ada feat. Eve", None, is_compilation=True, album_artist=VARIOUS_ARTISTS)
    assert credited(single) == [("Ada", ("Ada", "Eve"))]


def test_releases_of_one_name_stay_apart_and_the_first_keeps_its_id():
    first = {"release_mbid": "b", "added_ns": 1}
    second = {"release_mbid": "a", "added_ns": 2}
    rows = [row("x/1.mp3", "Ada", **first), row("y/1.mp3", "Ada", **second), row("x/2.mp3", "Ada", **first)]
    assert credits_of(*rows).release == ["", "a", ""]
    assert credits_of(rows[0]).release == [""]
