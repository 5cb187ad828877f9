"""Search, the collection in memory, and which files can be read."""

import unicodedata

import pytest

from jobs.lake.feature_columns import FEATURE_VERSION, descriptor_columns
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.musicnn.tags import TAGS
from serving import catalog
from serving.search_index import PrefixIndex, normalize_text
from tests import synthetic_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("catalog") / "lake")


@pytest.fixture(scope="module")
def found(lake):
    return catalog.load(lake)


def test_normalize_text_drops_case_accents_punctuation():
    assert normalize_text("Beyoncé – “Déjà Vu”!") == "beyonce deja vu"
    assert normalize_text("СЕВЕР") == "север"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Ed S", "+"), ("Ed S", "÷")),
        (("IU", "Real"), ("IU", "Real+")),
        (("!!!",), ("÷÷÷",)),
        (("काल",), ("कील",)),
        (("ガガ",), ("カカ",)),
        (("กิน",), ("กึน",)),
        (("AC/DC",), ("ACDC",)),
        (("Björk",), ("Bjork",)),
    ],
)
def test_names_that_differ_in_symbols_or_marks_have_two_ids(one, other):
    assert catalog.stable_id("al", *one) != catalog.stable_id("al", *other)


def test_names_that_differ_in_case_or_form_of_unicode_have_one_id():
    for one, other in (
        ("BJÖRK", "bjo\u0308rk"),
        ("Straße", "STRASSE"),
        ("ガガ", "カ\u3099カ\u3099"),
        ("a  b", "A b "),
    ):
        assert catalog.stable_id("ar", one) == catalog.stable_id("ar", other)


@pytest.mark.parametrize(
    "name",
    [
        "!!!",
        "÷",
        "+",
        "Björk",
        "काल",
        "กิน",
        "ガガ",
        "🎵",
        "AC/DC",
        "Real+",
        "...And You",
        "ﬁ",
        "Ωmega",
        "№ 1",
    ],
)
def test_every_name_is_found_by_its_own_spelling(name):
    names = [name, "something else", "else"]
    index = PrefixIndex([(1.0, [normalize_text(each) for each in names])])
    for query in (name, name.upper(), unicodedata.normalize("NFD", name)):
        assert list(index.search(query)) == [0]


def test_search_leaves_out_accents_but_no_vowel_signs():
    assert normalize_text("Ωμέγα Ёлка") == "ωμεγα елка"
    assert normalize_text("काल") != normalize_text("कील") and normalize_text("ガガ") != normalize_text("カカ")
    assert normalize_text("ｶﾞｶﾞ") == normalize_text("ガガ")


def test_every_word_of_a_query_is_a_prefix():
    index = PrefixIndex([(2.0, ["the long night", "a longer day", "lonely"]), (1.0, ["moon", "long", "x"])])
    assert list(index.search("long")) == [0, 1]  # the whole word in the weighty field first
    assert list(index.search("lo")) == [2, 0, 1]  # a field of one word says more
    assert list(index.search("long moon")) == [0]
    assert list(index.search("ong")) == []
    assert list(index.search("")) == [0, 1, 2]
    assert list(index.search("!!!")) == []
    assert list(index.search("long !!!")) == list(index.search("long"))


def test_search_covers_title_artist_album_genre(found):
    assert [track.track_id for track in found.search("artist 3")] == [f"t{n}" for n in range(15, 20)]
    assert {track.artist for track in found.search("album 2")} == {"Artist 2"}
    assert {track.genre for track in found.search("tech")} == {"Techno"}
    assert found.search("song c of 4")[0].track_id == "t22"
    assert found.search("nothing like it") == []


def test_albums_and_artists_keep_order_and_ids(lake, found):
    again = catalog.load(lake)
    assert len(found.albums) == len(found.artists) == synthetic_lake.ARTISTS
    assert found.albums.keys() == again.albums.keys() and found.artists.keys() == again.artists.keys()
    for album in found.albums.values():
        assert [track.track_no for track in album.tracks] == [1, 2, 3, 4, 5]


def test_file_outside_lake_and_library_is_not_read(found, tmp_path):
    import dataclasses

    track = found.by_id["t00"]
    assert found.audio_file(track).name == "t00.wav"
    secret = tmp_path / "secret"
    secret.write_text("x")
    link = found.roots[0] / "link.wav"
    link.symlink_to(secret)
    for path in (secret, "/etc/passwd", link, found.roots[0] / ".." / ".." / "x", found.roots[0], "gone.wav"):
        assert found.audio_file(dataclasses.replace(track, audio_path=str(path))) is None
    link.unlink()


def test_one_per_artist_has_each_artist_before_repeats(found):
    first = catalog.one_per_artist(found.tracks, 8)
    assert len({track.artist for track in first}) == 8
    assert len(catalog.one_per_artist(found.tracks, 100)) == 40


def test_genre_by_sound_fills_only_missing_genres(tmp_path):
    lake = synthetic_lake.make(tmp_path)
    tracks = lake.read_arrow(TRACKS).to_pylist()
    tracks[0]["genre"], tracks[0]["genres"] = None, []
    tag = descriptor_columns("musicnn_tags")[TAGS.index("Hip-Hop")]
    features = [
        {"track_id": track["track_id"], "feature_version": FEATURE_VERSION, tag: 0.8} for track in tracks[:2]
    ]
    synthetic_lake.write_rows(lake, TRACKS, tracks)
    synthetic_lake.write_rows(lake, FEATURES, features)
    found = catalog.load(lake)
    genres = {track.track_id: (track.genre, track.genre_predicted) for track in found.tracks}
    assert [genres[track_id] for track_id in ("t00", "t01")] == [("Hip-Hop", True), ("Folk", False)]
    assert [track.track_id for track in found.by_genre("hip-hop")] == ["t00"]
    assert ("Hip-Hop", 1) in found.genres
