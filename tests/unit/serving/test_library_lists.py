"""Orders, filters and letters of the lists, over collections with known answers."""

import pytest

from serving import catalog
from serving.library_lists import LibraryLists, sort_key
from tests import synthetic_lake


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    return LibraryLists(
        catalog.load(synthetic_lake.make(tmp_path_factory.mktemp("lists") / "lake", seconds=0.1))
    )


@pytest.mark.parametrize(
    ("name", "letter"),
    [
        ("The Lanterns", "L"),
        ("Élan", "E"),
        ("The", "T"),
        ("1984", "#"),
        ("!!!", "#"),
        ("夜", "文"),
        ("Ёлка", "Е"),
    ],
)
def test_letter_ignores_articles_and_accents(name, letter):
    assert sort_key(name).letter == letter


def test_letters_are_in_one_piece():
    names = ["~", "Zoo", "1984", "alpha", "The Beta", "夜", "Ёлка", "!!!"]
    letters = [sort_key(name).letter for name in sorted(names, key=sort_key)]
    assert letters == ["#", "#", "#", "A", "B", "Z", "Е", "文"]


def test_albums_by_year_are_the_latest_first(lists):
    found = lists.albums("year")
    assert [album.tracks[0].year for album in found.items] == list(range(1997, 1989, -1))
    assert not found.letters
    assert [album.name for album in lists.albums("name", reverse=True).items][0] == "Álbum 7"


def test_albums_are_filtered_by_name_and_genre(lists):
    assert [album.name for album in lists.albums("name", query="alb 3").items] == ["Álbum 3"]
    assert [album.name for album in lists.albums("name", genre="jazz").items] == ["Álbum 2", "Álbum 6"]
    assert lists.albums("name").letters == [("A", 0)]


def test_facts_of_an_album(lists):
    facts = lists.facts[lists.albums("name").items[2].album_id]
    assert (facts.year, facts.genre, facts.duration_s) == (1992, "Jazz", pytest.approx(0.5))


def test_tracks_by_title_have_letters(lists):
    found = lists.tracks("title")
    assert [track.title for track in found.items[:2]] == ["Song A of 0", "Song A of 1"]
    assert found.letters == [("S", 0)]


def test_artists_by_tracks_and_search(lists):
    assert [lists.track_counts[artist.artist_id] for artist in lists.artists("tracks").items] == [5] * 8
    assert [artist.name for artist in lists.search_artists("artist 4")] == ["Artist 4"]
