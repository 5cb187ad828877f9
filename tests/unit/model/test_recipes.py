"""Recipes on feature versions with fewer columns."""

from jobs.lake.feature_columns import FEATURE_COLUMNS, MODEL_INPUT_COLUMNS
from jobs.model import recipes


def test_older_feature_version_leaves_groups_out():
    names = [group.name for group in recipes.recipe_groups("timbre", MODEL_INPUT_COLUMNS["basic-1"])]
    assert names == ["timbre", "chroma"]
    names = [group.name for group in recipes.recipe_groups("timbre", MODEL_INPUT_COLUMNS["fma518+1"])]
    assert names == ["timbre", "covariance", "rhythm", "chroma"]
    names = [group.name for group in recipes.recipe_groups("musicnn", FEATURE_COLUMNS)]
    assert names == ["musicnn", "timbre", "change", "rhythm", "chroma", "harmonic", "fluctuation"]
