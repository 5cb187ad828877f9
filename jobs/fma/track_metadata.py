"""What FMA's metadata says of a track, in TRACKS' words: FMA_METADATA joined with the genre tree of FMA_GENRES."""

from itertools import chain
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# Columns of TRACKS that metadata has the last word on, where it says anything.
SHARED_COLUMNS = ("title", "artist", "album", "track_no", "year", "genre", "genres")
# Columns of TRACKS that only metadata has.
FMA_ONLY_COLUMNS = ("top_genre", "genre_parents", "listens", "favourites", "licence", "split", "subset")


def metadata_columns(metadata: DataFrame, genres: list[dict[str, Any]]) -> DataFrame:
    """Return track_id, DESCRIBED, OWN and the untrimmed track's `fma_duration_s` for FMA_METADATA, given FMA_GENRES' rows."""
    titles = {row["genre_id"]: row["title"] for row in genres}
    tops = {row["genre_id"]: titles.get(row["top_id"]) for row in genres}
    above = genre_ancestors(genres)
    ids = F.coalesce(F.col("track_genres"), F.array().cast("array<int>"))
    tops_found = F.array_distinct(_known(_looked_up(tops, ids, "string")))
    top = F.coalesce(F.col("track_genre_top"), F.when(F.size(tops_found) == 1, F.element_at(tops_found, 1)))
    names = F.array_distinct(_known(_looked_up(titles, ids, "string")))
    parents = F.array_distinct(F.flatten(_known(_looked_up(above, ids, "array<string>"))))
    return metadata.select(
        "track_id",
        F.col("track_title").alias("title"),
        F.col("artist_name").alias("artist"),
        F.col("album_title").alias("album"),
        F.when(F.col("track_number") > 0, F.col("track_number")).alias("track_no"),
        F.coalesce(F.year("album_date_released"), F.year("track_date_recorded")).alias("year"),
        F.coalesce(top, F.when(F.size(names) > 0, F.element_at(names, 1))).alias("genre"),
        F.when(F.size(names) > 0, names).alias("genres"),
        top.alias("top_genre"),
        F.array_except(parents, names).alias("genre_parents"),
        F.col("track_listens").alias("listens"),
        F.col("track_favorites").alias("favourites"),
        F.col("track_license").alias("licence"),
        F.col("set_split").alias("split"),
        F.col("set_subset").alias("subset"),
        F.col("track_duration").cast("double").alias("fma_duration_s"),
    )


def genre_ancestors(genres: list[dict[str, Any]]) -> dict[int, list[str]]:
    """Return the titles of what each genre is below, nearest first; an id that FMA_GENRES does not know ends the way."""
    rows = {row["genre_id"]: row for row in genres}

    def above(number: int) -> list[str]:
        found: list[str] = []
        parent = rows.get(rows[number]["parent_id"])
        while parent is not None and len(found) < len(rows):
            found.append(parent["title"])
            parent = rows.get(parent["parent_id"])
        return found

    return {number: above(number) for number in rows}


def _looked_up(names: dict[int, Any], ids: Column, kind: str) -> Column:
    """Return an array of the names of an array of ids, null where there is none."""
    if not names:
        return F.transform(ids, lambda _: F.lit(None).cast(kind))
    pairs = (
        (F.lit(key), F.array(*map(F.lit, v)) if isinstance(v, list) else F.lit(v)) for key, v in names.items()
    )
    table = F.create_map(*chain(*pairs)).cast(f"map<int,{kind}>")
    return F.transform(ids, lambda number: F.try_element_at(table, number))


def _known(values: Column) -> Column:
    return F.filter(values, lambda value: value.isNotNull())


def apply_metadata(tracks: DataFrame, found: DataFrame) -> DataFrame:
    """Return tracks (TRACKS without its OWN columns) with all that `found` (facts) says of them."""
    said = found.select(
        "track_id",
        F.lit(True).alias("is_known"),
        *(F.col(name).alias(f"fma_{name}") for name in (*SHARED_COLUMNS, *FMA_ONLY_COLUMNS)),
        "fma_duration_s",
    )
    joined = tracks.join(said, "track_id", "left")
    columns = {name: F.coalesce(F.col(f"fma_{name}"), F.col(name)) for name in SHARED_COLUMNS}
    columns |= {name: F.col(f"fma_{name}") for name in FMA_ONLY_COLUMNS}
    columns["duration_s"] = F.coalesce("duration_s", "fma_duration_s")
    columns["source"] = F.when(F.col("is_known"), F.lit("fma")).otherwise(F.lit("tags"))
    return joined.withColumns(columns)
