"""Offline evaluation of next-play prediction on a temporal split, for the hybrid and its baselines.

Systems: hybrid, content, collaborative, ALS and popularity.

Every system knows the same plays before the split and ranks the ten tracks that it scores best for each user
of the holdout. The rules of `ranking.py` about artists, recordings and exploration are left out: they would
cost all systems the same. The hybrid's weights are tuned on earlier splits within the known plays, so the
metrics are of plays that no choice was made by.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession

from jobs.model.metrics import K, ranking_metrics
from jobs.plays.events import PlayEvent
from jobs.recommender.fitted_recommender import FittedRecommender
from jobs.recommender.holdout import POSITIVE_EVENTS, Holdout
from jobs.recommender.item_catalog import ItemCatalog
from jobs.recommender.tuning import COLLABORATIVE_ONLY, CONTENT_ONLY, SelectedWeights, select_weights


def evaluate_systems(
    catalog: ItemCatalog, before: Sequence[PlayEvent], holdout: Holdout, spark: SparkSession
) -> dict[str, dict[str, float]]:
    """Return recall@10 and NDCG@10 of each system on the holdout, by name.

    All of them are fitted on the plays before.
    """
    selected = select_weights(catalog, before) or SelectedWeights(weights=CONTENT_ONLY)
    config = selected.config
    plays_only = replace(config, content_weight=0.0)
    factors = selected.factor_config
    recommender = FittedRecommender(catalog, before)
    users = [profile.user_id for profile in holdout.profiles]
    ranked = {
        "hybrid": recommender.recommend(config, factors, selected.weights, holdout),
        "content": recommender.recommend(config, factors, CONTENT_ONLY, holdout),
        "collaborative": recommender.recommend(plays_only, factors, COLLABORATIVE_ONLY, holdout),
        "als": top_k(als_scores(spark, catalog.index_of, before, users), holdout.before),
        "popularity": top_k(recommender.listeners, holdout.before),
    }
    return {system: ranking_metrics(lists, holdout.after) for system, lists in ranked.items()}


def top_k(scores: np.ndarray, known: Sequence[set[int]]) -> np.ndarray:
    """Return each user's ten best tracks without the known ones, (users, 10); -1 after the end.

    `scores` are (users, tracks), or (tracks,) if they are the same for every user.
    """
    ranked = np.full((len(known), K), -1)
    for row, known_tracks in enumerate(known):
        user_scores = (scores if scores.ndim == 1 else scores[row]).astype(float).copy()
        user_scores[list(known_tracks)] = -np.inf
        best = np.argsort(-user_scores, kind="stable")[:K]
        best = best[np.isfinite(user_scores[best])]
        ranked[row, : len(best)] = best
    return ranked


def als_scores(
    spark: SparkSession, index_of: Mapping[str, int], plays: Sequence[PlayEvent], users: Sequence[str]
) -> np.ndarray:
    """Return the scores (users, tracks) of ALS with Spark's defaults, on counts of finished and liked."""
    user_numbers = {user: number for number, user in enumerate(sorted({play.user_id for play in plays}))}
    counts = Counter(
        (user_numbers[play.user_id], index_of[play.track_id])
        for play in plays
        if play.event in POSITIVE_EVENTS and play.track_id in index_of
    )
    if not counts:  # Spark's ALS fails on an empty table
        return np.zeros((len(users), len(index_of)))
    rows = [(user, track, float(count)) for (user, track), count in sorted(counts.items())]
    frame = spark.createDataFrame(rows, "user int, item int, rating float").coalesce(1)
    # Few blocks: the data is small, and every block costs a Spark task per iteration.
    als = ALS(implicitPrefs=True, userCol="user", itemCol="item", ratingCol="rating", seed=0).setNumBlocks(2)
    model = als.fit(frame)
    user_factors = _to_matrix(model.userFactors, len(user_numbers), als.getRank())
    item_factors = _to_matrix(model.itemFactors, len(index_of), als.getRank())
    rows_of_users = [user_numbers[user] for user in users]
    return np.asarray(user_factors[rows_of_users] @ item_factors.T)


def _to_matrix(factors: DataFrame, n_rows: int, rank: int) -> np.ndarray:
    """Return ALS factors, a DataFrame of id and features, as (rows, rank); an id without factors is zeros."""
    matrix = np.zeros((n_rows, rank))
    for row in factors.collect():
        matrix[row["id"]] = row["features"]
    return matrix
