"""Genres from planted probabilities of MusiCNN's tags."""

import numpy as np
import pytest

from jobs.lake.feature_columns import FEATURE_VERSION, descriptor_columns
from jobs.lake.schemas import FEATURES
from jobs.lake.storage import Lake
from jobs.model import predicted_genres
from jobs.musicnn.tags import TAGS
from tests.synthetic_lake import write_rows


def tag_columns(**probabilities):
    """Return the columns of the tags, 0.05 for those that are not named."""
    columns = descriptor_columns("musicnn_tags")
    return {column: probabilities.get(tag, 0.05) for column, tag in zip(columns, TAGS, strict=True)}


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    tracks = {
        "metal": tag_columns(rock=0.5, metal=0.9),
        "rap": tag_columns(**{"Hip-Hop": 0.77, "electronic": 0.08}),
        "progressive": tag_columns(**{"Progressive rock": 0.46}),
        "orchestra": tag_columns(jazz=0.40, instrumental=0.9),
        "silent": dict.fromkeys(descriptor_columns("musicnn_tags")),
    }
    rows = [{"track_id": name, "feature_version": FEATURE_VERSION, **row} for name, row in tracks.items()]
    rows.append({"track_id": "old", "feature_version": "fma518+1", **tag_columns(metal=0.9)})
    write_rows(lake, FEATURES, rows)
    return lake


def test_genre_is_that_of_the_likeliest_tag(lake):
    asked = ["metal", "rap", "progressive", "orchestra", "silent", "old", "unknown"]
    found = predicted_genres.load(lake, asked)
    assert found == {"metal": "Metal", "rap": "Hip-Hop", "progressive": "Rock"}


def test_only_tracks_that_are_asked_for_are_predicted(lake):
    assert predicted_genres.load(lake, ["rap"]) == {"rap": "Hip-Hop"}
    assert predicted_genres.load(lake, []) == {}


def test_missing_probabilities_are_no_genre():
    n_tags = len({tag for tags in predicted_genres.GENRES.values() for tag in tags})
    assert predicted_genres.predict(np.full((2, n_tags), np.nan)).tolist() == ["", ""]
    assert predicted_genres.predict(np.zeros((0, n_tags))).tolist() == []


def test_every_genre_is_made_of_tags():
    assert {tag for tags in predicted_genres.GENRES.values() for tag in tags} <= set(TAGS)
