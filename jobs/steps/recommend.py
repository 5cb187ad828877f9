"""Learn from all plays what goes together, and write lists: one to start with, and one for everybody who has played.

How co-listening is made and how much it counts beside the sound is chosen by what listeners played later (`foretell.py`);
it is learned then from who has heard what, which Spark gathers. Without plays the sound alone serves. The lists go to
the lake first, then to MongoDB, which they can be brought back to from there.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pymongo.database import Database
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.schemas import ITEM_SIMILARITIES, PLAYS, RECOMMENDATIONS
from jobs.lake.storage import Lake, open_lake
from jobs.online import mongo, retention
from jobs.plays import play_log, splits
from jobs.progress import StepResult
from jobs.recommender import collaborative, item_catalog, offline_evaluation, profiles, ranking
from jobs.runtime import embedded_mongo
from jobs.spark import session
from jobs.streaming import micro_batch

# Pairs of listener and track that links are learned from: of more, some of the listeners speak for all. 400 MB.
_MAX_INTERACTIONS = 20_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: all plays are read, and the champion is what recommends."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Take the stream's plays into PLAYS by day, make ITEM_SIMILARITIES, write the lists; return the counts."""
    lake = open_lake(arguments)
    counts: dict[str, Any] = {"new plays": play_log.compact(lake)}
    counts = {"plays": lake.count_rows(PLAYS), **counts, "lists": 0}
    with embedded_mongo.mongo_uri(arguments.mongo, lake.root) as uri, mongo.database(uri) as database:
        found = {
            each["_id"]: each for each in mongo.find(database["state"], ("champion", "blend", "lists"))
        }
        if "champion" not in found:
            return StepResult(counts)
        catalogue = item_catalog.load(lake, found["champion"]["model_version"])
        if lake.count_rows(PLAYS):
            learned = _update_ranking_weights(arguments.master, lake, catalogue, found.get("blend"))
            mongo.upsert(database["state"], [learned])
            catalogue = item_catalog.load(
                lake, catalogue.model_version, item_catalog.RankingWeights(**learned["weights"])
            )
            counts["blend"] = _format_weights(catalogue.weights)
        counts["lists"] = _lists(database, lake, catalogue, found)
        mongo.upsert(
            database["state"], [_write_default_list(catalogue, found["champion"]["published_at"])]
        )
        counts["old plays out of MongoDB"] = retention.prune_plays(database, lake, datetime.now(UTC))
    return StepResult({**counts}, model_version=catalogue.model_version)


def _update_ranking_weights(
    master: str, lake: Lake, catalogue: item_catalog.ItemCatalog, before: mongo.Document | None
) -> mongo.Document:
    """Bring ITEM_SIMILARITIES up to PLAYS and the model, and return the document of the blend.

    The one from before stands while neither has changed. ITEM_SIMILARITIES is written first: killed then, both are made again.
    """
    version = lake.version(PLAYS)
    learned_from = f"{catalogue.model_version} {version.name if version else ''} {lake.count_rows(PLAYS)}"
    if before and before["learned_from"] == learned_from and lake.version(ITEM_SIMILARITIES):
        return before
    chosen = offline_evaluation.select_weights(
        catalogue, play_log.latest_plays(lake, splits.MAX_PLAYS)
    )
    # With nobody to ask yet co-listening does not count, but is there to be looked at.
    recipe, blend = (
        (chosen.config, chosen.weights)
        if chosen
        else (collaborative.CollaborativeConfig(), item_catalog.RankingWeights())
    )
    pairs = interactions(lake.read(session.get_session(master), PLAYS))
    lake.commit_arrow(
        ITEM_SIMILARITIES, item_similarity_rows(catalogue, _sample_users(pairs), recipe).to_batches()
    )
    return {"_id": "blend", "weights": asdict(blend), "recipe": asdict(recipe), "learned_from": learned_from}


def interactions(plays: DataFrame) -> DataFrame:
    """Return who has finished or liked what, of PLAYS: user_id and track_id, each pair once."""
    return plays.where(F.col("event").isin("finished", "liked")).select("user_id", "track_id").distinct()


def _sample_users(pairs: DataFrame) -> pa.Table:
    """Return the pairs, of all listeners or, where that would be too many, of some."""
    pairs = pairs.persist()
    parts = -(-pairs.count() // _MAX_INTERACTIONS)
    found = pairs.where(F.pmod(F.hash("user_id"), F.lit(parts)) == 0) if parts > 1 else pairs
    table = found.toArrow()
    pairs.unpersist()
    return table.sort_by([("user_id", "ascending"), ("track_id", "ascending")])


def item_similarity_rows(
    catalogue: item_catalog.ItemCatalog, pairs: pa.Table, recipe: collaborative.CollaborativeConfig
) -> pa.Table:
    """Return ITEM_SIMILARITIES of who has heard what."""
    users, tracks = (pairs[name].combine_chunks().dictionary_encode() for name in ("user_id", "track_id"))
    known = np.array(
        [catalogue.index_of.get(track_id, -1) for track_id in tracks.dictionary.to_pylist()], dtype=int
    )
    numbers = known[tracks.indices.to_numpy()]
    kept = numbers >= 0
    numbers = numbers[kept]
    matrix = collaborative.interaction_matrix(users.indices.to_numpy()[kept], numbers, len(catalogue.ids))
    found = collaborative.item_similarities(
        collaborative.factorize(matrix, catalogue.vectors, recipe), recipe
    )
    listeners = np.bincount(numbers, minlength=len(catalogue.ids))
    rows = [
        {
            "track_id": str(track_id),
            "listeners": int(listeners[number]),
            "neighbours": catalogue.ids[found[number][0]].tolist() if number in found else [],
            "scores": found[number][1].tolist() if number in found else [],
        }
        for number, track_id in enumerate(catalogue.ids)
        if listeners[number] or number in found
    ]
    return pa.Table.from_pylist(rows, schema=ITEM_SIMILARITIES.arrow_schema())


def _format_weights(blend: item_catalog.RankingWeights) -> str:
    return ", ".join(f"{name} {weight:g}" for name, weight in asdict(blend).items())


def _write_default_list(catalogue: item_catalog.ItemCatalog, as_of: datetime) -> mongo.Document:
    """Return the document of the list to start with; it is as old as the champion is, so writing it again changes nothing."""
    return {
        "_id": "curated",
        "model_version": catalogue.model_version,
        "as_of": as_of,
        "items": ranking.default_list(catalogue),
    }


def _lists(
    database: Database[mongo.Document],
    lake: Lake,
    catalogue: item_catalog.ItemCatalog,
    found: dict[str, mongo.Document],
) -> int:
    """Write RECOMMENDATIONS of every profile, then the same to MongoDB, where anything is new; return their number.

    The stream writes MongoDB's too, from the same profile by the same catalogue, so it does not matter who is last; but of
    a profile that has changed since it was read here, the stream's list is the one to keep.
    """
    made_from = _made_from(database, lake, catalogue)
    if found.get("lists", {}).get("made_from") != made_from or lake.version(RECOMMENDATIONS) is None:
        lake.commit_arrow(RECOMMENDATIONS, _made(database, lake, catalogue))
    elif database["recommendations"].estimated_document_count() >= lake.count_rows(RECOMMENDATIONS):
        return lake.count_rows(RECOMMENDATIONS)  # this store has them: the line below was written after them
    written = 0
    for batch in lake.iter_batches(RECOMMENDATIONS):
        documents = [from_table_row(row) for row in batch.to_pylist()]
        written += mongo.replace_unless_newer(database["recommendations"], documents)
    mongo.upsert(database["state"], [{"_id": "lists", "made_from": made_from}])
    return written


def _made_from(database: Database[mongo.Document], lake: Lake, catalogue: item_catalog.ItemCatalog) -> str:
    """Return what the lists follow from: model, blend, what goes together, and how far each profile is."""
    reached = 0
    for profile in _profiles(database, lake, "at", "offsets"):
        told = f"{profile['_id']} {profile['at']} {sorted(profile['offsets'].items())}"
        reached ^= int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big")
    version = lake.version(ITEM_SIMILARITIES)
    return f"{catalogue.model_version} {_format_weights(catalogue.weights)} {version.name if version else ''} {reached:016x}"


def _made(
    database: Database[mongo.Document], lake: Lake, catalogue: item_catalog.ItemCatalog
) -> Iterator[pa.RecordBatch]:
    """Yield RECOMMENDATIONS of all profiles; and, of listeners whom a store made anew does not know yet, the rows there are."""
    known: set[str] = set()
    for some in mongo.batched(_profiles(database, lake)):
        known |= {each["_id"] for each in some}
        yield _rows(
            micro_batch.recommendation_document(catalogue, profiles.from_document(each)) for each in some
        )
    for batch in lake.iter_batches(RECOMMENDATIONS):
        kept = [r not in known for r in batch["user_id"].to_pylist()]
        same = pc.equal(batch["model_version"], catalogue.model_version)
        yield batch.filter(pc.and_(pa.array(kept, pa.bool_()), same))


def _profiles(database: Database[mongo.Document], lake: Lake, *fields: str) -> Iterator[mongo.Document]:
    """Yield everybody's profile, in the order of the users; only some fields, or all.

    By the users of PLAYS: asked for all that there are, the embedded store would hold a million of them at once.
    """
    users = (user for user, _ in play_log.last_offsets_by_user(lake))
    yield from mongo.find(database["profiles"], users, *fields)


def _rows(documents: Iterable[mongo.Document]) -> pa.RecordBatch:
    rows = [
        {**each, "user_id": each["_id"], "offsets": json.dumps(each["offsets"], sort_keys=True)}
        for each in documents
    ]
    return pa.RecordBatch.from_pylist(rows, RECOMMENDATIONS.arrow_schema())


def from_table_row(row: dict[str, Any]) -> mongo.Document:
    """Return the document of `recommendations` of a row of RECOMMENDATIONS."""
    of_the_row = {name: value for name, value in row.items() if name != "user_id"}
    return {"_id": row["user_id"], **of_the_row, "offsets": json.loads(row["offsets"])}
