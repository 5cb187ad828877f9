"""FMA's published genre protocol, for whoever has `fma_metadata`: fixed split, StandardScaler, kNN and SVM.

As in mdeff/fma's baselines.ipynb: the tracks of the subset (medium: 16 unbalanced genres), learned from split `training`,
judged on split `test`. Published there: .553 for 200 nearest on mfcc + spectral_contrast, .634 for an SVM on all 518.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jobs.errors import InputError
from jobs.progress import StepResult

# A subset holds those before it.
SUBSETS = ("small", "medium", "large")
_NEAREST = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--metadata", type=Path, required=True, metavar="DIR", help="with features.csv and tracks.csv"
    )
    parser.add_argument("--subset", choices=SUBSETS, default="medium", help="of FMA (default medium)")


def main(arguments: argparse.Namespace) -> StepResult:
    """Return the accuracies, beside the numbers of tracks learned from and judged."""
    features = _read(arguments.metadata / "features.csv", 3)
    tracks = _read(arguments.metadata / "tracks.csv", 2)
    return StepResult(genre_baselines(features, tracks, arguments.subset))


def _read(file: Path, headers: int) -> pd.DataFrame:
    try:
        return pd.read_csv(file, index_col=0, header=list(range(headers)), low_memory=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--metadata: expected FMA's {file.name}, found {str(error).splitlines()[0]}"
        ) from error


def genre_baselines(features: pd.DataFrame, tracks: pd.DataFrame, subset: str) -> dict[str, Any]:
    """Return the accuracies on features.csv and tracks.csv as read with their headers; InputError for other tables."""
    needed = [("set", "subset"), ("set", "split"), ("track", "genre_top")]
    if missing := [".".join(name) for name in needed if name not in tracks.columns]:
        raise InputError(f"--metadata: expected tracks.csv with {', '.join(missing)}, found none")
    within = tracks["set", "subset"].isin(SUBSETS[: SUBSETS.index(subset) + 1])
    chosen = tracks.index[within & tracks["track", "genre_top"].notna()].intersection(features.index)
    split = tracks.loc[chosen, ("set", "split")]
    learn, judge = (chosen[(split == name).to_numpy()] for name in ("training", "test"))
    if not len(learn) or not len(judge):
        raise InputError(
            f"--metadata: expected tracks of subset {subset} in splits training and test, found {len(learn)} and {len(judge)}"
        )
    told, truth = (tracks.loc[rows, ("track", "genre_top")].to_numpy(dtype=str) for rows in (learn, judge))
    found: dict[str, Any] = {"learned from": len(learn), "judged": len(judge), "genres": len({*told, *truth})}
    names = features.columns.get_level_values(0)
    for title, columns, method in (
        ("kNN on mfcc + contrast", names.isin(["mfcc", "spectral_contrast"]), "knn"),
        ("SVM on all", np.ones(len(names), dtype=bool), "svm"),
    ):
        rows = features.loc[:, columns]
        accuracy = _accuracy(rows.loc[learn], told, rows.loc[judge], truth, method)
        found[title] = f"{accuracy:.3f}"
    return found


def _accuracy(
    learn: pd.DataFrame, told: np.ndarray, judge: pd.DataFrame, truth: np.ndarray, method: str
) -> float:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    model = KNeighborsClassifier(min(_NEAREST, len(learn))) if method == "knn" else SVC(kernel="rbf")
    pipeline = make_pipeline(StandardScaler(), model).fit(learn.to_numpy(), told)
    return float(pipeline.score(judge.to_numpy(), truth))
