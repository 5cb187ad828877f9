"""Which tracks sound alike: precision of the recipes over a folder of labelled music.

    python -m tests.bench.bench_sound FOLDER [--workers 2]

Every subfolder of FOLDER is one label (a genre, a series); the files in it are its tracks. Prints, for each
system, precision at 10, MAP, and precision at 10 by random order, with 95 % intervals by bootstrap over the
queries, and the CPU time of the features per track.
"""

import argparse
import multiprocessing
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from jobs.audio import features_of_file
from jobs.lake.feature_columns import FEATURE_COLUMNS, FEATURE_VERSION, FMA_COLUMNS, feature_columns
from jobs.model import fitting
from jobs.model.metrics import K
from jobs.model.significance import bootstrap_interval
from jobs.steps.embed import recipe_columns


def extract(path: Path) -> tuple[np.ndarray, float] | None:
    """Return a file's features and their CPU seconds, or None if it has none."""
    start = time.process_time()
    try:
        values = features_of_file.extract_file_features(str(path)).values
    except Exception as error:  # the bench goes on with the other files
        print(f"{path}: {error}")
        return None
    return values, time.process_time() - start


def systems(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the unit vectors (tracks, n) of each system by name."""
    positions = {column: number for number, column in enumerate(FEATURE_COLUMNS)}
    vectors = {
        "MFCC means, standardized": _standardized(
            values[:, [positions[column] for column in feature_columns("mfcc", "mean")]]
        ),
        "FMA's 518, standardized": _standardized(values[:, [positions[column] for column in FMA_COLUMNS]]),
    }
    for recipe, version in (
        ("timbre", "fma518+1"),
        ("timbre", FEATURE_VERSION),
        ("musicnn", FEATURE_VERSION),
    ):
        columns = recipe_columns(recipe, version)
        read = values[:, [positions[column] for column in columns]]
        embedder, _ = fitting.fit_embedder(read, columns, recipe=recipe, dimensions=96)
        vectors[f"{recipe} of {version}"] = embedder.apply(read)
    return vectors


def _standardized(values: np.ndarray) -> np.ndarray:
    deviation = values.std(axis=0)
    rows = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def scores(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return precision at 10 and average precision of each track as a query, (tracks,) each."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :-1]
    is_relevant = labels[order] == labels[:, None]
    precision = np.cumsum(is_relevant, axis=1) / np.arange(1, order.shape[1] + 1)
    n_relevant = np.maximum(is_relevant.sum(axis=1), 1)
    return is_relevant[:, :K].mean(axis=1), (precision * is_relevant).sum(axis=1) / n_relevant


def interval(per_query: np.ndarray) -> str:
    """Return the mean and its 95 % interval as text."""
    low, high = bootstrap_interval(per_query)
    return f"{per_query.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Extract, embed, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.glob("*/*") if path.is_file())
    with multiprocessing.Pool(arguments.workers) as pool:
        results = pool.map(extract, paths, chunksize=8)
    found = [(path, *result) for path, result in zip(paths, results, strict=True) if result is not None]
    values = np.array([row for _, row, _ in found], dtype=np.float64)
    labels = np.array([path.parent.name for path, _, _ in found])
    cpu_ms = 1e3 * float(np.median([seconds for _, _, seconds in found]))
    print(f"{len(found)} tracks, {len(set(labels))} labels; features {cpu_ms:.0f} ms of CPU a track (median)")
    print(f"{'':28}{'precision at 10':>24}{'MAP':>24}")
    shuffled = np.random.default_rng(0).standard_normal((len(found), 96))
    rows = {"random order": shuffled / np.linalg.norm(shuffled, axis=1, keepdims=True), **systems(values)}
    for name, vectors in rows.items():
        at_10, average = scores(vectors, labels)
        print(f"{name:28}{interval(at_10):>24}{interval(average):>24}")


if __name__ == "__main__":
    main()
