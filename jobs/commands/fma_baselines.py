"""`segue fma baselines`: FMA's published genre protocol on `fma_metadata`: fixed split, StandardScaler, kNN
and SVM.

As in mdeff/fma's baselines.ipynb: tracks of a subset (medium: 16 unbalanced genres), trained on split
`training`, tested on split `test`. The published accuracies are .553 for the 200 nearest neighbours on mfcc +
spectral_contrast, and .634 for an SVM on all 518 features.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jobs.errors import InputError
from jobs.progress import StepResult

# Each subset contains the ones before it.
SUBSETS = ("small", "medium", "large")
_N_NEIGHBOURS = 200

_REQUIRED = (("set", "subset"), ("set", "split"), ("track", "genre_top"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--metadata",
        type=Path,
        required=True,
        metavar="DIR",
        help="FMA's fma_metadata folder with features.csv and tracks.csv",
    )
    parser.add_argument(
        "--subset", choices=SUBSETS, default="medium", help="FMA subset to evaluate (default medium)"
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Return the accuracies, and the numbers of training and test tracks."""
    features = _read(arguments.metadata / "features.csv", header_rows=3)
    tracks = _read(arguments.metadata / "tracks.csv", header_rows=2)
    return StepResult(genre_baselines(features, tracks, arguments.subset))


def _read(file: Path, *, header_rows: int) -> pd.DataFrame:
    try:
        return pd.read_csv(file, index_col=0, header=list(range(header_rows)), low_memory=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--metadata: expected FMA's {file.name}, found {reason}") from error


def genre_baselines(features: pd.DataFrame, tracks: pd.DataFrame, subset: str) -> dict[str, Any]:
    """Return the test accuracies of both baselines, and the numbers of tracks and genres.

    Parameters
    ----------
    features
        features.csv with its three header rows as column levels.
    tracks
        tracks.csv with its two header rows as column levels.
    subset
        One of SUBSETS.

    Raises
    ------
    InputError
        A column is missing, or a split has no tracks.
    """
    missing = [".".join(name) for name in _REQUIRED if name not in tracks.columns]
    if missing:
        raise InputError(f"--metadata: expected tracks.csv with {', '.join(missing)}, found none")
    in_subset = tracks["set", "subset"].isin(SUBSETS[: SUBSETS.index(subset) + 1])
    track_ids = tracks.index[in_subset & tracks["track", "genre_top"].notna()].intersection(features.index)
    split = tracks.loc[track_ids, ("set", "split")]
    train = track_ids[(split == "training").to_numpy()]
    test = track_ids[(split == "test").to_numpy()]
    if not len(train) or not len(test):
        raise InputError(
            f"--metadata: expected tracks of subset {subset} in splits training and test, found {len(train)} "
            f"and {len(test)}"
        )
    train_genres = tracks.loc[train, ("track", "genre_top")].to_numpy(dtype=str)
    test_genres = tracks.loc[test, ("track", "genre_top")].to_numpy(dtype=str)
    counts: dict[str, Any] = {
        "train": len(train),
        "test": len(test),
        "genres": len({*train_genres, *test_genres}),
    }
    names = features.columns.get_level_values(0)
    for title, columns, method in (
        ("kNN on mfcc + contrast", names.isin(["mfcc", "spectral_contrast"]), "knn"),
        ("SVM on all", np.ones(len(names), dtype=bool), "svm"),
    ):
        rows = features.loc[:, columns]
        accuracy = _accuracy(rows.loc[train], train_genres, rows.loc[test], test_genres, method)
        counts[title] = f"{accuracy:.3f}"
    return counts


def _accuracy(
    train: pd.DataFrame, train_genres: np.ndarray, test: pd.DataFrame, test_genres: np.ndarray, method: str
) -> float:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    model = KNeighborsClassifier(min(_N_NEIGHBOURS, len(train))) if method == "knn" else SVC(kernel="rbf")
    pipeline = make_pipeline(StandardScaler(), model).fit(train.to_numpy(), train_genres)
    return float(pipeline.score(test.to_numpy(), test_genres))
