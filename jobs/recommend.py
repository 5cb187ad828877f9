"""Learn from all plays what goes together, and write lists: one to start with, and one for everybody who has played.

Co-listening is counted by Spark: two tracks go together as often as one person plays both in one session. How much it
counts beside the sound is chosen by what listeners played later (`foretell.py`). Without plays the sound alone serves.
"""

import argparse
from datetime import datetime
from typing import Any

from pymongo.database import Database
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs import catalogues, history, live, local, mongo, ranking, session, settings
from jobs.storage import Lake
from jobs.tables import PLAYS, TOGETHER

# Of each track so many others are kept.
OTHERS = 50

# A session with more tracks than this is a machine's, and would make a pair of everything.
_LONGEST_SESSION = 200

# Sessions that are taken off the count of a pair: what happened once may be chance.
_SHRINK = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: all plays are read, and the champion is what recommends."""


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Take the stream's plays into PLAYS by day, make TOGETHER, write the lists; return the counts."""
    lake = Lake(settings.lake_path(arguments.lake))
    new = history.compact(lake)
    if lake.is_newer(PLAYS, TOGETHER):
        spark = session.spark(arguments.master)
        lake.commit(TOGETHER, together(lake.read(spark, PLAYS)))
    with local.mongo_at(arguments.mongo, lake.root) as uri, mongo.database(uri) as database:
        found = {document["_id"]: document for document in mongo.find(database["settings"], ("champion", "blend"))}
        if "champion" not in found:
            return {"plays": lake.rows(PLAYS), "new plays": new, "lists": 0}
        blend = ranking.Blend(**found.get("blend", {}).get("weights", {}))
        catalogue = catalogues.load(lake, found["champion"]["model_version"], blend)
        lists = _lists(database, catalogue)
        mongo.upsert(database["settings"], [_start(catalogue, found["champion"]["published_at"])])
    return {"plays": lake.rows(PLAYS), "new plays": new, "lists": lists, "model version": catalogue.model_version}


def _start(catalogue: ranking.Catalogue, as_of: datetime) -> mongo.Document:
    """Return the document of the list to start with; it is as old as the champion is, so writing it again changes nothing."""
    return {
        "_id": "curated",
        "model_version": catalogue.model_version,
        "as_of": as_of,
        "items": ranking.curated(catalogue),
    }


def _lists(database: Database[mongo.Document], catalogue: ranking.Catalogue) -> int:
    """Write the recommendations of every profile anew, by this catalogue; return their number.

    The stream writes them too, from the same profile by the same catalogue, so it does not matter who is last; but of a
    profile that has changed since it was read here, the stream's list is the one to keep.
    """
    written = 0
    for some in mongo.bulks(database["profiles"].find()):
        made = [live.document(catalogue, profile) for profile in some]
        written += mongo.replace_unless_newer(database["recommendations"], made)
    return written


def together(plays: DataFrame) -> DataFrame:
    """Return TOGETHER of PLAYS: for each track its listeners, and what is played in the same sessions.

    Only what was finished or liked counts. The strength of a pair is its number of sessions, less one, over the root of
    the product of both tracks' numbers: a cosine, which does not favour what everybody plays.
    """
    heard = plays.where(F.col("event").isin("finished", "liked"))
    sitting = F.coalesce("session_id", F.date_format("played_at", "yyyy-MM-dd"))
    sat = heard.select("user_id", F.concat_ws("/", "user_id", sitting).alias("sitting"), "track_id").distinct()
    size = F.count("*").over(Window.partitionBy("sitting"))
    sat = sat.withColumn("size", size).where(F.col("size") <= _LONGEST_SESSION).drop("size")
    listeners = sat.groupBy("track_id").agg(F.countDistinct("user_id").cast("int").alias("listeners"))
    own = sat.groupBy("track_id").agg(F.count("*").alias("sittings"))
    one, other = sat.alias("one"), sat.select("sitting", F.col("track_id").alias("other"))
    pairs = one.join(other, "sitting").where(F.col("track_id") != F.col("other"))
    pairs = pairs.groupBy("track_id", "other").agg(F.count("*").alias("both")).where(F.col("both") > _SHRINK)
    pairs = pairs.join(own, "track_id").join(
        own.select(F.col("track_id").alias("other"), F.col("sittings").alias("others")), "other"
    )
    strength = ((F.col("both") - _SHRINK) / F.sqrt(F.col("sittings") * F.col("others"))).cast("float")
    ranked = Window.partitionBy("track_id").orderBy(F.col("strength").desc(), "other")
    best = pairs.withColumn("strength", strength).withColumn("rank", F.row_number().over(ranked))
    best = best.where(F.col("rank") <= OTHERS).groupBy("track_id")
    lists = best.agg(F.sort_array(F.collect_list(F.struct("rank", "other", "strength"))).alias("found"))
    lists = lists.select("track_id", F.col("found.other").alias("others"), F.col("found.strength").alias("strengths"))
    empty = {"others": F.array().cast("array<string>"), "strengths": F.array().cast("array<float>")}
    joined = listeners.join(lists, "track_id", "left")
    return joined.select(
        "track_id", "listeners", *(F.coalesce(name, nothing).alias(name) for name, nothing in empty.items())
    )
