"""Compute item similarities from all plays, then a list for every user with plays and the default list.

The collaborative configuration and the ranking weights are tuned on what users played later
(`recommender/tuning.py`); the similarities are then learned from who played what, which Spark gathers.
Without plays, ranking uses content alone. The lists are written to the lake first and to the online store
second, which can be rebuilt from them.
"""

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_array

from jobs.lake.schemas import ITEM_SIMILARITIES, PLAYS, RECOMMENDATIONS
from jobs.lake.storage import Lake, open_lake
from jobs.online import mongo, retention, state
from jobs.plays import play_log, splits
from jobs.progress import StepResult
from jobs.recommender import (
    collaborative,
    implicit_als,
    item_catalog,
    item_similarities,
    ranking,
    recommendations,
    recommendations_table,
    tuning,
)
from jobs.recommender.holdout import POSITIVE_EVENTS
from jobs.recommender.item_catalog import ItemCatalog, RankingWeights
from jobs.recommender.item_similarities import ItemSimilarities
from jobs.recommender.recommendations import RecommendationList
from jobs.runtime import embedded_mongo
from jobs.spark import session

# Pairs of user and track that similarities are learned from, 400 MB. Of more, a sample of the users is taken.
_MAX_INTERACTIONS = 20_000_000

# Part of the input digest: another value has everything tuned and ranked again, after an update of Segue.
_RANKING_REVISION = "factors-2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: all plays are read, and the champion ranks."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Compact PLAYS, update item similarities and ranking weights, write all lists; return the counts."""
    lake = open_lake(arguments)
    n_new_plays = play_log.compact(lake)
    counts: dict[str, Any] = {"plays": lake.count_rows(PLAYS), "new plays": n_new_plays, "lists": 0}
    with (
        embedded_mongo.mongo_uri(arguments.mongo, lake.root) as mongo_uri,
        mongo.database(mongo_uri) as database,
    ):
        champion = state.champion(database)
        if champion is None:
            return StepResult(counts)
        catalog = item_catalog.load(lake, champion["model_version"])
        if lake.count_rows(PLAYS):
            weights = _update_ranking(arguments.master, database, lake, catalog)
            catalog = item_catalog.load(lake, catalog.model_version, weights=weights)
            counts["ranking weights"] = _format_weights(weights)
        counts["lists"] = _write_lists(arguments.master, mongo_uri, database, lake, catalog)
        state.write(database, _default_list_document(catalog, champion["published_at"]))
        counts["pruned plays"] = retention.prune_plays(database, lake, datetime.now(UTC))
    return StepResult(counts, model_version=catalog.model_version)


def _update_ranking(
    master: str, database: mongo.Database, lake: Lake, catalog: ItemCatalog
) -> RankingWeights:
    """Update ITEM_SIMILARITIES and the ranking state from PLAYS and the model; return the ranking weights.

    Nothing is tuned if neither has changed. ITEM_SIMILARITIES is written first: after a kill in between, both
    are computed again.
    """
    current = cast(state.RankingState | None, mongo.get(database["state"], state.RANKING_WEIGHTS))
    version = lake.version(PLAYS)
    plays_version = version.name if version else ""
    input_digest = f"{_RANKING_REVISION} {catalog.model_version} {plays_version} {lake.count_rows(PLAYS)}"
    has_current = current is not None and current["input_digest"] == input_digest
    if current is None or not has_current or lake.version(ITEM_SIMILARITIES) is None:
        current = _tune(master, lake, catalog, input_digest)
    state.write(database, current)
    return RankingWeights.from_state(current["weights"])


def _tune(master: str, lake: Lake, catalog: ItemCatalog, input_digest: str) -> state.RankingState:
    """Tune configuration and weights, write ITEM_SIMILARITIES; return the ranking state."""
    selected = tuning.select_weights(catalog, play_log.latest_plays(lake, splits.MAX_PLAYS))
    if selected is None:
        # Too few users to tune on: compute item similarities anyway, with ranking weight 0.
        selected = tuning.SelectedWeights()
    pairs = _sample_users(interactions(lake.read(session.get_session(master), PLAYS)))
    rows = item_similarity_rows(catalog, pairs, selected)
    lake.commit_arrow(ITEM_SIMILARITIES, rows.to_batches())
    return state.RankingState(
        _id=state.RANKING_WEIGHTS,
        weights=asdict(replace(selected.weights, regularization=selected.factor_config.regularization)),
        config={**asdict(selected.config), **asdict(selected.factor_config)},
        input_digest=input_digest,
    )


def interactions(plays: DataFrame) -> DataFrame:
    """Return the pairs (user_id, track_id, plays), how often the user finished or liked the track."""
    is_positive = F.col("event").isin(*POSITIVE_EVENTS)
    return plays.where(is_positive).groupBy("user_id", "track_id").agg(F.count("*").alias("plays"))


def _sample_users(pairs: DataFrame) -> pa.Table:
    """Return the pairs of all users, or of a sample of the users if there are too many, sorted."""
    pairs = pairs.persist()
    n_parts = -(-pairs.count() // _MAX_INTERACTIONS)
    sample = pairs
    if n_parts > 1:
        sample = pairs.where(F.pmod(F.hash("user_id"), F.lit(n_parts)) == 0)
    table = sample.toArrow()
    pairs.unpersist()
    return table.sort_by([("user_id", "ascending"), ("track_id", "ascending")])


def item_similarity_rows(catalog: ItemCatalog, pairs: pa.Table, selected: tuning.SelectedWeights) -> pa.Table:
    """Return the rows of ITEM_SIMILARITIES, learned from pairs of user_id and track_id with their plays."""
    users = pairs["user_id"].combine_chunks().dictionary_encode()
    tracks = pairs["track_id"].combine_chunks().dictionary_encode()
    # Index in the catalog of each distinct track, -1 if it has none; then of each pair.
    track_indices = np.array(
        [catalog.index_of.get(track_id, -1) for track_id in tracks.dictionary.to_pylist()], dtype=int
    )
    indices = track_indices[tracks.indices.to_numpy()]
    is_known = indices >= 0
    indices = indices[is_known]
    user_numbers = users.indices.to_numpy()[is_known]
    n_plays = pairs["plays"].to_numpy()[is_known]
    confidences = collaborative.confidence_matrix(user_numbers, indices, n_plays, len(catalog.ids))
    listeners = np.bincount(indices, minlength=len(catalog.ids))
    found = ItemSimilarities(
        listeners=listeners,
        similar_items=collaborative.similar_items(confidences, catalog.vectors, selected.config),
        factors=_item_factors(catalog, confidences, listeners, selected),
    )
    return item_similarities.to_table(catalog.ids, found)


def _item_factors(
    catalog: ItemCatalog, confidences: csr_array, listeners: np.ndarray, selected: tuning.SelectedWeights
) -> np.ndarray | None:
    """Return the item factors (n, d); None without plays, or if ranking does not ask for them."""
    if not confidences.nnz or not selected.weights.factors:
        return None
    config = selected.factor_config
    fitted = implicit_als.fit_item_factors(confidences, config.regularization)
    return implicit_als.add_sound(fitted, catalog.vectors, listeners, config.sound_prior)


def _format_weights(weights: RankingWeights) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in asdict(weights).items())


def _default_list_document(catalog: ItemCatalog, published_at: datetime) -> mongo.Document:
    """Return the document of the default list.

    It is dated like the champion, so writing it again changes nothing.
    """
    return {
        "_id": state.DEFAULT_LIST,
        "model_version": catalog.model_version,
        "as_of": published_at,
        "items": recommendations.to_documents(ranking.default_list(catalog)),
    }


def _write_lists(
    master: str, mongo_uri: str, database: mongo.Database, lake: Lake, catalog: ItemCatalog
) -> int:
    """Write all lists to RECOMMENDATIONS, then to the store, if anything is new; return their number.

    The stream writes lists to the store as well, by the same ranking from the same profiles, so the order
    does not matter. If a profile has changed since it was read here, the stream's list is newer and stays.
    """
    current = mongo.get(database["state"], state.RECOMMENDATIONS_STATE) or {}
    input_digest = _lists_digest(database, lake, catalog)
    if current.get("input_digest") != input_digest or lake.version(RECOMMENDATIONS) is None:
        if lake.count_rows(PLAYS):
            spark = session.get_session(master)
            lake.commit(RECOMMENDATIONS, recommendations_table.ranked_lists(spark, lake, mongo_uri, catalog))
        else:
            lake.commit_arrow(RECOMMENDATIONS, [])
    elif mongo.count(database["recommendations"]) >= lake.count_rows(RECOMMENDATIONS):
        # The store has all of them: its state is written after them.
        return lake.count_rows(RECOMMENDATIONS)
    n_written = 0
    for batch in lake.iter_batches(RECOMMENDATIONS):
        documents = [RecommendationList.from_row(row).to_document() for row in batch.to_pylist()]
        n_written += mongo.replace_unless_newer(database["recommendations"], documents)
    state.write(database, {"_id": state.RECOMMENDATIONS_STATE, "input_digest": input_digest})
    return n_written


def _lists_digest(database: mongo.Database, lake: Lake, catalog: ItemCatalog) -> str:
    """Return a text that changes with anything that the lists are computed from.

    That is the model, the ranking weights, the item similarities and the offsets of every profile.
    """
    # XOR, so that the order of the profiles does not matter.
    profiles_digest = 0
    for document in _profile_documents(database, lake, "at", "offsets"):
        text = f"{document['_id']} {document['at']} {sorted(document['offsets'].items())}"
        profiles_digest ^= int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    version = lake.version(ITEM_SIMILARITIES)
    similarities = version.name if version else ""
    weights = _format_weights(catalog.weights)
    return f"{catalog.model_version} {weights} {similarities} {profiles_digest:016x}"


def _profile_documents(database: mongo.Database, lake: Lake, *fields: str) -> Iterator[mongo.Document]:
    """Yield the profile of every user of PLAYS, in the order of the users; with all fields, or only some.

    Asked for the whole collection instead, the embedded store would load a million of them at once.
    """
    users = (user for user, _ in play_log.last_offsets_by_user(lake))
    yield from mongo.find(database["profiles"], users, *fields)
