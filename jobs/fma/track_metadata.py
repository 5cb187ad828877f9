"""FMA's metadata as columns of TRACKS: FMA_METADATA joined with the genre tree of FMA_GENRES."""

from itertools import chain
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# Columns of TRACKS in which a value from the metadata replaces the value from the tags.
SHARED_COLUMNS = ("title", "artist", "album", "track_no", "year", "genre", "genres")
# Columns of TRACKS that only the metadata has.
FMA_ONLY_COLUMNS = ("top_genre", "genre_parents", "listens", "favourites", "licence", "split", "subset")


def metadata_columns(metadata: DataFrame, genres: list[dict[str, Any]]) -> DataFrame:
    """Return one row per track of FMA_METADATA with the columns that it gives to TRACKS.

    Parameters
    ----------
    metadata
        FMA_METADATA.
    genres
        Rows of FMA_GENRES.

    Returns
    -------
    track_id, SHARED_COLUMNS, FMA_ONLY_COLUMNS, and `fma_duration_s`: the length of the untrimmed track.
    """
    title_by_id = {row["genre_id"]: row["title"] for row in genres}
    top_title_by_id = {row["genre_id"]: title_by_id.get(row["top_id"]) for row in genres}
    genre_ids = F.coalesce(F.col("track_genres"), F.array().cast("array<int>"))
    titles = F.array_distinct(_lookup(title_by_id, genre_ids, "string"))
    top_titles = F.array_distinct(_lookup(top_title_by_id, genre_ids, "string"))
    ancestors = F.array_distinct(F.flatten(_lookup(genre_ancestors(genres), genre_ids, "array<string>")))
    # The track's own top genre, else that of its genres if they agree.
    top_genre = F.coalesce(
        F.col("track_genre_top"), F.when(F.size(top_titles) == 1, F.element_at(top_titles, 1))
    )
    return metadata.select(
        "track_id",
        F.col("track_title").alias("title"),
        F.col("artist_name").alias("artist"),
        F.col("album_title").alias("album"),
        F.when(F.col("track_number") > 0, F.col("track_number")).alias("track_no"),
        F.coalesce(F.year("album_date_released"), F.year("track_date_recorded")).alias("year"),
        F.coalesce(top_genre, F.when(F.size(titles) > 0, F.element_at(titles, 1))).alias("genre"),
        F.when(F.size(titles) > 0, titles).alias("genres"),
        top_genre.alias("top_genre"),
        F.array_except(ancestors, titles).alias("genre_parents"),
        F.col("track_listens").alias("listens"),
        F.col("track_favorites").alias("favourites"),
        F.col("track_license").alias("licence"),
        F.col("set_split").alias("split"),
        F.col("set_subset").alias("subset"),
        F.col("track_duration").cast("double").alias("fma_duration_s"),
    )


def genre_ancestors(genres: list[dict[str, Any]]) -> dict[int, list[str]]:
    """Return the titles of the ancestors of each genre, nearest first; an unknown parent ends the list."""
    rows = {row["genre_id"]: row for row in genres}
    return {genre_id: _ancestor_titles(genre_id, rows) for genre_id in rows}


def _ancestor_titles(genre_id: int, rows: dict[int, dict[str, Any]]) -> list[str]:
    titles: list[str] = []
    parent = rows.get(rows[genre_id]["parent_id"])
    while parent is not None and len(titles) < len(rows):  # the second condition ends a cycle
        titles.append(parent["title"])
        parent = rows.get(parent["parent_id"])
    return titles


def _lookup(values: dict[int, Any], ids: Column, value_type: str) -> Column:
    """Return an array of the values of an array of ids; ids without a value are left out.

    Parameters
    ----------
    values
        Value by id, a string or a list of strings.
    ids
        A column of type array<int>.
    value_type
        Spark's type of one value.
    """
    if not values:
        return F.array().cast(f"array<{value_type}>")
    pairs = []
    for key, value in values.items():
        literal = F.array(*map(F.lit, value)) if isinstance(value, list) else F.lit(value)
        pairs.append((F.lit(key), literal))
    table = F.create_map(*chain(*pairs)).cast(f"map<int,{value_type}>")
    looked_up = F.transform(ids, lambda number: F.try_element_at(table, number))
    return F.filter(looked_up, lambda value: value.isNotNull())


def apply_metadata(tracks: DataFrame, metadata: DataFrame) -> DataFrame:
    """Return tracks with the values of the metadata.

    Parameters
    ----------
    tracks
        TRACKS without FMA_ONLY_COLUMNS, and `fma_id`: FMA's number of the track, or null.
    metadata
        Result of `metadata_columns`.
    """
    prefixed = metadata.select(
        F.col("track_id").alias("fma_id"),
        F.lit(True).alias("has_metadata"),
        *(F.col(name).alias(f"fma_{name}") for name in (*SHARED_COLUMNS, *FMA_ONLY_COLUMNS)),
        "fma_duration_s",
    )
    joined = tracks.join(prefixed, "fma_id", "left")
    columns = {name: F.coalesce(F.col(f"fma_{name}"), F.col(name)) for name in SHARED_COLUMNS}
    columns |= {name: F.col(f"fma_{name}") for name in FMA_ONLY_COLUMNS}
    columns["duration_s"] = F.coalesce("duration_s", "fma_duration_s")
    columns["source"] = F.when(F.col("has_metadata"), F.lit("fma")).otherwise(F.lit("tags"))
    return joined.withColumns(columns)
