"""The 920 feature columns: FMA's layout, and feature versions in order."""

import pytest

from jobs.dsp import features
from jobs.lake import feature_columns
from jobs.lake.feature_columns import (
    ECHONEST_COLUMNS,
    FEATURE_COLUMNS,
    FEATURE_VERSION,
    FMA_COLUMNS,
    MODEL_INPUT_COLUMNS,
    newest_feature_version,
)
from jobs.lake.schemas import FEATURES


def test_features_table_has_every_column() -> None:
    assert len(FEATURE_COLUMNS) == 1_698
    assert FEATURES.names[5:] == [*FEATURE_COLUMNS, *ECHONEST_COLUMNS]
    assert FEATURE_COLUMNS[: len(FMA_COLUMNS)] == FMA_COLUMNS


def test_column_names_follow_fma() -> None:
    expected = tuple(f"tonnetz_mean_0{number}" for number in range(1, 7))
    assert feature_columns.feature_columns("tonnetz", "mean") == expected
    assert feature_columns.descriptor_columns("tempo") == ("tempo",)
    assert feature_columns.descriptor_columns("mfcc_covariance")[-1] == "mfcc_covariance_210"


def test_model_input_columns_are_in_features() -> None:
    for columns in MODEL_INPUT_COLUMNS.values():
        assert set(columns) <= set(FEATURES.names)
    assert len(MODEL_INPUT_COLUMNS["basic-1"]) == 308
    assert "key" not in MODEL_INPUT_COLUMNS[features.FEATURE_VERSION]


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        (["basic-1"], "basic-1"),
        (["fma518+1", "basic-1"], "fma518+1"),
        # Alphabetically zzz-9 is the last; it is unknown here, so code of another release wrote it.
        (["basic-1", "zzz-9"], "basic-1"),
        (["zzz-9"], None),
        ([], None),
    ],
)
def test_newest_version_is_the_last_declared(versions: list[str], newest: str | None) -> None:
    assert newest_feature_version(versions) == newest


def test_extract_writes_the_newest_version() -> None:
    assert newest_feature_version(MODEL_INPUT_COLUMNS) == FEATURE_VERSION == features.FEATURE_VERSION
