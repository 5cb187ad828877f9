"""Learn from all plays what goes together, and write lists: one to start with, and one for everybody who has played.

Co-listening is counted by Spark: two tracks go together as often as one person plays both in one session. How much it
counts beside the sound is chosen by what listeners played later (`foretell.py`). Without plays the sound alone serves.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import numpy as np
from pymongo.database import Database
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs import catalogues, foretell, history, live, local, mongo, ranking, session, settings
from jobs.storage import Lake
from jobs.tables import PLAYS, TOGETHER

# Of each track so many others are kept.
OTHERS = 50

# The latest plays that the blend is chosen by and judged on: some 300 MB of Python.
_LEARNED_FROM = 500_000

_PLAYED = ("event_id", "user_id", "track_id", "event", "position_s", "duration_s", "played_at", "session_id")

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
    shown: dict[str, str] = {}
    with local.mongo_at(arguments.mongo, lake.root) as uri, mongo.database(uri) as database:
        found = {document["_id"]: document for document in mongo.find(database["settings"], ("champion", "blend"))}
        if "champion" not in found:
            return {"plays": lake.rows(PLAYS), "new plays": new, "lists": 0}
        catalogue = catalogues.load(lake, found["champion"]["model_version"])
        learned = _learned(arguments.master, lake, catalogue, found.get("blend"))
        if learned is not None:
            mongo.upsert(database["settings"], [learned])
            catalogue = replace(catalogue, blend=ranking.Blend(**learned["weights"]))
            shown = _shown(learned["figures"])
        lists = _lists(database, catalogue)
        mongo.upsert(database["settings"], [_start(catalogue, found["champion"]["published_at"])])
    return {
        "plays": lake.rows(PLAYS),
        "new plays": new,
        "lists": lists,
        "model version": catalogue.model_version,
        **shown,
    }


def _learned(
    master: str, lake: Lake, catalogue: ranking.Catalogue, before: mongo.Document | None
) -> mongo.Document | None:
    """Return the document of the blend that foretells best, with the figures of all systems; None without enough plays.

    The one from before stands while neither plays nor model have changed.
    """
    version = lake.version(PLAYS)
    if version is None:
        return None
    learned_from = f"{catalogue.model_version} {version.name} {lake.rows(PLAYS)}"
    if before and before["learned_from"] == learned_from:
        return before
    plays = history.read(lake, *_PLAYED).to_pylist()
    known, later = foretell.split(plays[-_LEARNED_FROM:])
    blend, figures = foretold(session.spark(master), catalogue, known, later)
    if not figures:
        return None
    return {"_id": "blend", "weights": asdict(blend), "figures": figures, "learned_from": learned_from}


def foretold(
    spark: SparkSession, catalogue: ranking.Catalogue, known: list[Any], later: list[Any]
) -> tuple[ranking.Blend, dict[str, dict[str, float]]]:
    """Choose a blend on the known plays alone, and return it with each system's figures on the later ones."""
    places = catalogue.places

    def trained(plays: list[Any]) -> ranking.Catalogue:
        rows = together(spark.createDataFrame(plays, PLAYS.only(*_PLAYED).spark_schema())).collect()
        return catalogues.with_together(catalogue, [row.asDict() for row in rows])

    inner = foretell.split(known)
    asking, old, new = foretell.asked(places, *inner)
    blend = foretell.choose(trained(inner[0]), asking, old, new) if asking else ranking.Blend()
    asking, old, new = foretell.asked(places, known, later)
    if not asking:
        return blend, {}
    whole = trained(known)
    lists = {
        "hybrid": foretell.by_ranking(whole, blend, old)(asking),
        "sound": foretell.by_ranking(whole, ranking.Blend(popular=0.0), old)(asking),
        "popularity": foretell.by_scores(whole.plays, old),
        "als": foretell.by_scores(als(spark, places, known, [p["_id"] for p in asking]), old),
    }
    return blend, {name: foretell.figures(found, new) for name, found in lists.items()}


def als(spark: SparkSession, places: Mapping[str, int], plays: list[Any], users: list[str]) -> np.ndarray:
    """Return plain ALS's scores (users, tracks): implicit feedback, how often each listener finished or liked a track."""
    numbers = {user: number for number, user in enumerate(sorted({play["user_id"] for play in plays}))}
    heard = Counter(
        (numbers[play["user_id"]], places[play["track_id"]])
        for play in plays
        if play["event"] in ("finished", "liked") and play["track_id"] in places
    )
    rows = [(user, track, float(count)) for (user, track), count in sorted(heard.items())]
    frame = spark.createDataFrame(rows, "user int, item int, rating float").coalesce(1)
    learner = ALS(rank=32, implicitPrefs=True, userCol="user", itemCol="item", ratingCol="rating", seed=0)
    model = learner.fit(frame)
    of = [np.zeros((len(numbers), 32)), np.zeros((len(places), 32))]
    for factors, found in zip(of, (model.userFactors, model.itemFactors), strict=True):
        for row in found.collect():
            factors[row["id"]] = row["features"]
    return np.asarray(of[0][[numbers[user] for user in users]] @ of[1].T)


def _shown(figures: dict[str, dict[str, float]]) -> dict[str, str]:
    others = ", ".join(f"{n} {of['plays_recall_at_10']:.3f}" for n, of in figures.items() if n != "hybrid")
    return {"recall at 10 of later plays": f"{figures['hybrid']['plays_recall_at_10']:.3f} ({others})"}


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
