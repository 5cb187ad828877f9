import argparse

import numpy as np
import pandas as pd
import pytest

from jobs.commands import fma_baselines
from jobs.errors import InputError


def written(folder, *, hidden=0):
    """A small fma_metadata: the genre is in the MFCC of the first tracks; the last `hidden` have another's label."""
    rng = np.random.default_rng(0)
    genres = np.arange(90) % 3
    columns = pd.MultiIndex.from_tuples(
        [(f, "mean", f"{n:02d}") for f in ("mfcc", "spectral_contrast", "zcr") for n in (1, 2)],
        names=["feature", "statistics", "number"],
    )
    values = rng.standard_normal((90, 6)) * 0.1
    values[:, 0] += genres
    values[90 - hidden :, 0] += 1 if hidden else 0
    pd.DataFrame(values, index=pd.RangeIndex(2, 92, name="track_id"), columns=columns).to_csv(
        folder / "features.csv"
    )
    tracks = pd.DataFrame(
        {
            ("set", "split"): ["training"] * 60 + ["test"] * 30,
            ("set", "subset"): ["small"] * 45 + ["medium"] * 45,
            ("track", "genre_top"): [f"genre {g}" for g in genres],
        },
        index=pd.RangeIndex(2, 92, name="track_id"),
    )
    tracks.to_csv(folder / "tracks.csv")
    return argparse.Namespace(metadata=folder, subset="medium")


def test_planted_genres_by_the_fixed_split(tmp_path, monkeypatch):
    monkeypatch.setattr(fma_baselines, "_NEAREST", 5)
    found = fma_baselines.main(written(tmp_path)).counts
    assert (found["learned from"], found["judged"], found["genres"]) == (60, 30, 3)
    assert float(found["kNN on mfcc + contrast"]) > 0.9 and float(found["SVM on all"]) > 0.9
    assert float(fma_baselines.main(written(tmp_path, hidden=30)).counts["SVM on all"]) < 0.5


def test_what_is_missing_is_named(tmp_path):
    arguments = written(tmp_path)
    with pytest.raises(InputError, match="subset small in splits training and test, found 45 and 0"):
        fma_baselines.main(argparse.Namespace(metadata=tmp_path, subset="small"))
    (tmp_path / "features.csv").unlink()
    with pytest.raises(InputError, match="--metadata: expected FMA's features.csv, found"):
        fma_baselines.main(arguments)
