"""Offline evaluation on simulated users: recall@10 and NDCG@10 of each system, means over seeds.

    python -m tests.bench.bench_recommender --lake LAKE [--seeds 1 2 3 4]

LAKE has a published model of the demo library (`segue run --library demo`). Besides, two synthetic catalogs
are evaluated, whose groups are the users' genres. The systems are those of `segue evaluate`; ALS has Spark's
defaults.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.model.embedding import l2_normalize
from jobs.plays import simulator, splits
from jobs.recommender import item_catalog, offline_evaluation
from jobs.recommender.holdout import build_holdout
from jobs.recommender.item_catalog import ItemCatalog
from jobs.spark import session

BEGIN = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)
METRICS = ("next_play_recall_at_10", "next_play_ndcg_at_10")


@dataclass(frozen=True)
class Scenario:
    """A catalog with the genre of each of its tracks, and how many users and events are simulated."""

    name: str
    catalog: ItemCatalog
    genres: list[str]
    users: int
    events: int


def synthetic_catalog(n_groups: int, tracks_per_group: int) -> tuple[ItemCatalog, list[str]]:
    """Return a catalog of groups of tracks that sound alike, and the group of each track."""
    rng = np.random.default_rng(5)
    numbers = np.arange(n_groups * tracks_per_group)
    groups = numbers % n_groups
    ids = np.array([f"{number:04d}" for number in numbers])
    noise = 0.15 * rng.standard_normal((len(ids), n_groups))
    catalog = ItemCatalog(
        model_version="1",
        ids=ids,
        titles=ids,
        artists=ids,
        recordings=ids,
        vectors=l2_normalize(np.eye(n_groups)[groups] + noise).astype(np.float32),
        clusters=groups,
        plays=np.zeros(len(ids), dtype=int),
    )
    return catalog, [str(group) for group in groups]


def lake_catalog(root: Path) -> tuple[ItemCatalog, list[str]]:
    """Return the catalog of a lake's newest model, and the genre of each track."""
    lake = Lake(root)
    version = lake.read_arrow(EMBEDDINGS, "model_version").to_pylist()[-1]["model_version"]
    catalog = item_catalog.load(lake, version)
    rows = lake.read_arrow(TRACKS, "track_id", "genre").to_pylist()
    genres = {row["track_id"]: row["genre"] for row in rows}
    return catalog, [genres[track_id] for track_id in catalog.ids.tolist()]


def scenarios(lake: Path) -> Iterator[Scenario]:
    """Yield the rows of the table in docs/recommendations.md."""
    demo = lake_catalog(lake)
    yield Scenario("480 synthetic", *synthetic_catalog(12, 40), users=60, events=9_000)
    yield Scenario("demo", *demo, users=50, events=2_500)
    yield Scenario("demo", *demo, users=200, events=20_000)
    yield Scenario("40 synthetic", *synthetic_catalog(8, 5), users=60, events=6_000)


def evaluate(scenario: Scenario, seed: int, spark: SparkSession) -> dict[str, dict[str, float]]:
    """Return the metrics of each system on one simulation."""
    catalog = scenario.catalog
    plays = simulator.simulate_plays(
        catalog.ids.tolist(),
        scenario.genres,
        [30.0] * len(scenario.genres),
        users=scenario.users,
        events=scenario.events,
        seed=seed,
        begin=BEGIN,
    )
    before, after = splits.temporal_split(list(plays))
    holdout = build_holdout(catalog.index_of, before, after)
    return offline_evaluation.evaluate_systems(catalog, before, holdout, spark)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", type=Path, required=True, help="lake with a published demo library")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3, 4], help="simulation seeds (default 1 2 3 4)"
    )
    arguments = parser.parse_args()
    spark = session.get_session("local[1]")
    for scenario in scenarios(arguments.lake):
        values: dict[str, list[list[float]]] = defaultdict(list)
        for seed in arguments.seeds:
            for system, metrics in evaluate(scenario, seed, spark).items():
                values[system].append([metrics[metric] for metric in METRICS])
        means = []
        for system, by_seed in values.items():
            recall, ndcg = np.mean(by_seed, axis=0)
            means.append(f"{system} {recall:.3f} {ndcg:.3f}")
        print(
            f"{scenario.name}, {scenario.users} users, {scenario.events} events:"
            f" recall@10, NDCG@10 of {', '.join(means)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
