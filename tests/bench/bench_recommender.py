"""How much of what simulated listeners play next the lists foretell: recall@10 and NDCG@10 of each system, means of seeds.

    python -m tests.bench.bench_recommender --lake LAKE [--seeds 1 2 3 4]

LAKE has a published model of the demo library (`segue run --library demo`); beside it two planted catalogues, whose groups are
the listeners' genres. Systems are those of `segue evaluate`, ALS is Spark's with its defaults.
"""

import argparse
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.model.embedding import l2_normalize
from jobs.plays import simulator, splits
from jobs.recommender import item_catalog, offline_evaluation
from jobs.spark import session

BEGIN = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)


def planted(groups: int, each: int) -> tuple[item_catalog.ItemCatalog, list[str]]:
    """Return a catalogue of groups of tracks that sound alike, and each track's group."""
    rng, numbers = np.random.default_rng(5), np.arange(groups * each)
    of = numbers % groups
    ids = np.array([f"{number:04d}" for number in numbers])
    vectors = l2_normalize(np.eye(groups)[of] + 0.15 * rng.standard_normal((len(ids), groups))).astype(
        np.float32
    )
    none = np.zeros(len(ids), dtype=int)
    catalogue = item_catalog.ItemCatalog("1", ids, ids, ids, ids, vectors=vectors, clusters=of, plays=none)
    return catalogue, [str(group) for group in of]


def of_lake(root: Path) -> tuple[item_catalog.ItemCatalog, list[str]]:
    """Return the catalogue of a lake's newest model, and each track's genre."""
    lake = Lake(root)
    version = lake.read_arrow(EMBEDDINGS, "model_version").to_pylist()[-1]["model_version"]
    catalogue = item_catalog.load(lake, version)
    genres = {
        row["track_id"]: row["genre"] for row in lake.read_arrow(TRACKS, "track_id", "genre").to_pylist()
    }
    return catalogue, [genres[track_id] for track_id in catalogue.ids.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    arguments = parser.parse_args()
    spark = session.get_session("local[1]")
    demo = of_lake(arguments.lake)
    for name, (catalogue, genres), users, count in (
        ("480 planted", planted(12, 40), 60, 9_000),
        ("demo", demo, 50, 2_500),
        ("demo", demo, 200, 20_000),
        ("40 planted", planted(8, 5), 60, 6_000),
    ):
        found = defaultdict(list)
        for seed in arguments.seeds:
            lengths = [30.0] * len(genres)
            made = simulator.simulate_plays(
                catalogue.ids.tolist(), genres, lengths, users=users, events=count, seed=seed, begin=BEGIN
            )
            before, after = splits.temporal_split(list(made))
            question = offline_evaluation.build_holdout(catalogue.index_of, before, after)
            for system, figures in offline_evaluation.evaluate_systems(
                catalogue, before, question, spark
            ).items():
                found[system].append((figures["next_play_recall_at_10"], figures["next_play_ndcg_at_10"]))
        means = (
            f"{system} {r:.3f} {n:.3f}"
            for system, (r, n) in ((s, np.mean(f, axis=0)) for s, f in found.items())
        )
        print(
            f"{name}, {users} listeners, {count} events: recall@10, NDCG@10 of {', '.join(means)}", flush=True
        )


if __name__ == "__main__":
    main()
