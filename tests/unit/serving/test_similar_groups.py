"""Albums near an album: the planted neighbours."""

from serving import catalog
from serving.radio import Radio
from serving.similar_groups import nearest_groups
from tests import synthetic_lake


def test_nearest_albums_are_those_of_the_same_axis(tmp_path):
    lake = synthetic_lake.make_large(tmp_path / "lake", artists=8)
    collection = catalog.load(lake)
    items = Radio(lake).item_catalog(collection, None)
    first = next(iter(collection.albums.values()))

    def names(**options):
        found = nearest_groups(
            items, collection, first.tracks, lambda track: track.album_id, count=9, **options
        )
        return [collection.albums[each].artist for each in found]

    assert first.artist == "Artist 000" and set(names()) == {"Artist 000", "Ertist 004"}
    assert len(names()) == 9
    assert "Ertist 004" not in names(excluded_artists={"Ertist 004"})
    assert nearest_groups(items, collection, [], lambda track: track.album_id, count=9) == []
