"""FMA's genre baselines on a planted structure whose accuracy is known."""

import argparse

import numpy as np
import pandas as pd
import pytest

from jobs.commands import fma_baselines
from jobs.errors import InputError


def write_metadata(folder, *, n_mislabelled=0):
    """Write a small fma_metadata.

    The first MFCC gives the genre, but in the last `n_mislabelled` tracks that of another.
    """
    rng = np.random.default_rng(0)
    genres = np.arange(90) % 3
    columns = pd.MultiIndex.from_tuples(
        [(f, "mean", f"{n:02d}") for f in ("mfcc", "spectral_contrast", "zcr") for n in (1, 2)],
        names=["feature", "statistics", "number"],
    )
    values = rng.standard_normal((90, 6)) * 0.1
    values[:, 0] += genres
    values[90 - n_mislabelled :, 0] += 1 if n_mislabelled else 0
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


def test_baselines_recover_planted_genres(tmp_path, monkeypatch):
    monkeypatch.setattr(fma_baselines, "_N_NEIGHBOURS", 5)
    counts = fma_baselines.main(write_metadata(tmp_path)).counts
    assert (counts["train"], counts["test"], counts["genres"]) == (60, 30, 3)
    assert float(counts["kNN on mfcc + contrast"]) > 0.9 and float(counts["SVM on all"]) > 0.9
    assert float(fma_baselines.main(write_metadata(tmp_path, n_mislabelled=30)).counts["SVM on all"]) < 0.5


def test_baselines_name_what_is_missing(tmp_path):
    arguments = write_metadata(tmp_path)
    with pytest.raises(InputError, match="subset small in splits training and test, found 45 and 0"):
        fma_baselines.main(argparse.Namespace(metadata=tmp_path, subset="small"))
    (tmp_path / "features.csv").unlink()
    with pytest.raises(InputError, match="--metadata: expected FMA's features.csv, found"):
        fma_baselines.main(arguments)
