"""Words over forty tracks whose energy rises with their number; a tag of MusiCNN is planted in ten."""

import pytest

from jobs.lake.feature_columns import descriptor_columns
from jobs.lake.schemas import FEATURES
from jobs.lake.storage import Lake
from jobs.model import sound_words
from jobs.musicnn import tags
from tests.synthetic_lake import write_rows

ACOUSTIC = descriptor_columns("musicnn_tags")[tags.TAGS.index("acoustic")]


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    rows = [
        {
            "track_id": f"t{n:02d}",
            "feature_version": "fma518+2",
            "rmse_mean_01": n / 40,
            "onset_density": n / 10,
            "tempo": 120.0,
            ACOUSTIC: 0.4 if n < 10 else 0.01,
        }
        for n in range(40)
    ]
    # An older row of the loudest track: the newer one counts.
    rows.append({"track_id": "t39", "feature_version": "basic-1", "rmse_mean_01": -1, "onset_density": -1})
    write_rows(lake, FEATURES, rows)
    return lake


def test_strongest_are_the_ends_of_the_collection(lake):
    words = sound_words.load(lake)
    assert words.strongest("energetic", 0.1) == ["t39", "t38", "t37", "t36"]
    assert words.strongest("calm", 0.1) == ["t00", "t01", "t02", "t03"]


def test_words_describe_tracks_that_differ_from_the_collection(lake):
    words = sound_words.load(lake)
    assert set(words.describe(["t01", "t02", "t03"], count=3)) == {"acoustic", "calm", "slow"}
    assert words.describe(["t38", "t39"]) == ["energetic", "fast"]
    assert words.describe(f"t{n:02d}" for n in range(40)) == []
    assert words.describe(["unknown"]) == []


def test_tags_that_features_lack_describe_nothing(tmp_path):
    lake = Lake(tmp_path)
    rows = [{"track_id": f"{n}", "feature_version": "basic-1", "rmse_mean_01": n} for n in range(9)]
    write_rows(lake, FEATURES, rows)
    words = sound_words.load(lake)
    assert words.describe(["8"], count=9) == ["energetic"]
    assert sound_words.load(Lake(tmp_path / "empty")).describe(["8"]) == []
