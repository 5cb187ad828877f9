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

from jobs import settings
from jobs.lake.schemas import PLAYS, RECOMMENDATIONS, TOGETHER
from jobs.lake.storage import Lake
from jobs.online import mongo, retention
from jobs.plays import play_log
from jobs.recommender import collaborative, item_catalog, offline_evaluation, profiles, ranking
from jobs.runtime import embedded_mongo
from jobs.spark import session
from jobs.streaming import micro_batch

# Pairs of listener and track that links are learned from: of more, some of the listeners speak for all. 400 MB.
_PAIRS = 20_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: all plays are read, and the champion is what recommends."""


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Take the stream's plays into PLAYS by day, make TOGETHER, write the lists; return the counts."""
    lake = Lake(settings.lake_path(arguments.lake))
    counts: dict[str, Any] = {"new plays": play_log.compact(lake)}
    counts = {"plays": lake.rows(PLAYS), **counts, "lists": 0}
    with embedded_mongo.mongo_at(arguments.mongo, lake.root) as uri, mongo.database(uri) as database:
        found = {each["_id"]: each for each in mongo.find(database["settings"], ("champion", "blend", "lists"))}
        if "champion" not in found:
            return counts
        catalogue = item_catalog.load(lake, found["champion"]["model_version"])
        if lake.rows(PLAYS):
            learned = _learned(arguments.master, lake, catalogue, found.get("blend"))
            mongo.upsert(database["settings"], [learned])
            catalogue = item_catalog.load(lake, catalogue.model_version, item_catalog.Blend(**learned["weights"]))
            counts["blend"] = _told(catalogue.blend)
        counts["lists"] = _lists(database, lake, catalogue, found)
        mongo.upsert(database["settings"], [_start(catalogue, found["champion"]["published_at"])])
        counts["old plays out of MongoDB"] = retention.old_plays(database, lake, datetime.now(UTC))
    return {**counts, "model version": catalogue.model_version}


def _learned(
    master: str, lake: Lake, catalogue: item_catalog.Catalogue, before: mongo.Document | None
) -> mongo.Document:
    """Bring TOGETHER up to PLAYS and the model, and return the document of the blend.

    The one from before stands while neither has changed. TOGETHER is written first: killed then, both are made again.
    """
    version = lake.version(PLAYS)
    learned_from = f"{catalogue.model_version} {version.name if version else ''} {lake.rows(PLAYS)}"
    if before and before["learned_from"] == learned_from and lake.version(TOGETHER):
        return before
    chosen = offline_evaluation.choose(catalogue, play_log.latest(lake, offline_evaluation.LATEST))
    # With nobody to ask yet co-listening does not count, but is there to be looked at.
    recipe, blend = (chosen.recipe, chosen.blend) if chosen else (collaborative.Recipe(), item_catalog.Blend())
    pairs = heard(lake.read(session.spark(master), PLAYS))
    lake.commit_arrow(TOGETHER, links(catalogue, _some(pairs), recipe).to_batches())
    return {"_id": "blend", "weights": asdict(blend), "recipe": asdict(recipe), "learned_from": learned_from}


def heard(plays: DataFrame) -> DataFrame:
    """Return who has finished or liked what, of PLAYS: user_id and track_id, each pair once."""
    return plays.where(F.col("event").isin("finished", "liked")).select("user_id", "track_id").distinct()


def _some(pairs: DataFrame) -> pa.Table:
    """Return the pairs, of all listeners or, where that would be too many, of some."""
    pairs = pairs.persist()
    parts = -(-pairs.count() // _PAIRS)
    found = pairs.where(F.pmod(F.hash("user_id"), F.lit(parts)) == 0) if parts > 1 else pairs
    table = found.toArrow()
    pairs.unpersist()
    return table.sort_by([("user_id", "ascending"), ("track_id", "ascending")])


def links(catalogue: item_catalog.Catalogue, pairs: pa.Table, recipe: collaborative.Recipe) -> pa.Table:
    """Return TOGETHER of who has heard what."""
    users, tracks = (pairs[name].combine_chunks().dictionary_encode() for name in ("user_id", "track_id"))
    known = np.array([catalogue.places.get(track_id, -1) for track_id in tracks.dictionary.to_pylist()], dtype=int)
    numbers = known[tracks.indices.to_numpy()]
    kept = numbers >= 0
    numbers = numbers[kept]
    matrix = collaborative.heard(users.indices.to_numpy()[kept], numbers, len(catalogue.ids))
    found = collaborative.links(collaborative.factors(matrix, catalogue.vectors, recipe), recipe)
    listeners = np.bincount(numbers, minlength=len(catalogue.ids))
    rows = [
        {
            "track_id": str(track_id),
            "listeners": int(listeners[number]),
            "others": catalogue.ids[found[number][0]].tolist() if number in found else [],
            "strengths": found[number][1].tolist() if number in found else [],
        }
        for number, track_id in enumerate(catalogue.ids)
        if listeners[number] or number in found
    ]
    return pa.Table.from_pylist(rows, schema=TOGETHER.arrow_schema())


def _told(blend: item_catalog.Blend) -> str:
    return ", ".join(f"{name} {weight:g}" for name, weight in asdict(blend).items())


def _start(catalogue: item_catalog.Catalogue, as_of: datetime) -> mongo.Document:
    """Return the document of the list to start with; it is as old as the champion is, so writing it again changes nothing."""
    return {
        "_id": "curated",
        "model_version": catalogue.model_version,
        "as_of": as_of,
        "items": ranking.curated(catalogue),
    }


def _lists(
    database: Database[mongo.Document], lake: Lake, catalogue: item_catalog.Catalogue, found: dict[str, mongo.Document]
) -> int:
    """Write RECOMMENDATIONS of every profile, then the same to MongoDB, where anything is new; return their number.

    The stream writes MongoDB's too, from the same profile by the same catalogue, so it does not matter who is last; but of
    a profile that has changed since it was read here, the stream's list is the one to keep.
    """
    made_from = _made_from(database, lake, catalogue)
    if found.get("lists", {}).get("made_from") != made_from or lake.version(RECOMMENDATIONS) is None:
        lake.commit_arrow(RECOMMENDATIONS, _made(database, lake, catalogue))
    elif database["recommendations"].estimated_document_count() >= lake.rows(RECOMMENDATIONS):
        return lake.rows(RECOMMENDATIONS)  # this store has them: the line below was written after them
    written = 0
    for batch in lake.batches(RECOMMENDATIONS):
        documents = [document(row) for row in batch.to_pylist()]
        written += mongo.replace_unless_newer(database["recommendations"], documents)
    mongo.upsert(database["settings"], [{"_id": "lists", "made_from": made_from}])
    return written


def _made_from(database: Database[mongo.Document], lake: Lake, catalogue: item_catalog.Catalogue) -> str:
    """Return what the lists follow from: model, blend, what goes together, and how far each profile is."""
    reached = 0
    for profile in _profiles(database, lake, "at", "offsets"):
        told = f"{profile['_id']} {profile['at']} {sorted(profile['offsets'].items())}"
        reached ^= int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big")
    version = lake.version(TOGETHER)
    return f"{catalogue.model_version} {_told(catalogue.blend)} {version.name if version else ''} {reached:016x}"


def _made(
    database: Database[mongo.Document], lake: Lake, catalogue: item_catalog.Catalogue
) -> Iterator[pa.RecordBatch]:
    """Yield RECOMMENDATIONS of all profiles; and, of listeners whom a store made anew does not know yet, the rows there are."""
    known: set[str] = set()
    for some in mongo.bulks(_profiles(database, lake)):
        known |= {each["_id"] for each in some}
        yield _rows(micro_batch.document(catalogue, profiles.from_document(each)) for each in some)
    for batch in lake.batches(RECOMMENDATIONS):
        kept = [r not in known for r in batch["user_id"].to_pylist()]
        same = pc.equal(batch["model_version"], catalogue.model_version)
        yield batch.filter(pc.and_(pa.array(kept, pa.bool_()), same))


def _profiles(database: Database[mongo.Document], lake: Lake, *fields: str) -> Iterator[mongo.Document]:
    """Yield everybody's profile, in the order of the users; only some fields, or all.

    By the users of PLAYS: asked for all that there are, the embedded store would hold a million of them at once.
    """
    users = (user for user, _ in play_log.last_offsets(lake))
    yield from mongo.find(database["profiles"], users, *fields)


def _rows(documents: Iterable[mongo.Document]) -> pa.RecordBatch:
    rows = [
        {**each, "user_id": each["_id"], "offsets": json.dumps(each["offsets"], sort_keys=True)} for each in documents
    ]
    return pa.RecordBatch.from_pylist(rows, RECOMMENDATIONS.arrow_schema())


def document(row: dict[str, Any]) -> mongo.Document:
    """Return the document of `recommendations` of a row of RECOMMENDATIONS."""
    of_the_row = {name: value for name, value in row.items() if name != "user_id"}
    return {"_id": row["user_id"], **of_the_row, "offsets": json.loads(row["offsets"])}
