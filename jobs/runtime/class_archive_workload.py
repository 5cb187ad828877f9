"""A small Spark job that loads the classes a session of Segue needs.

Run once at set-up to write the class archive.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def main(folder: str) -> None:
    """Write, read, join, aggregate and map in Python a few rows; the files go to `folder`."""
    spark = SparkSession.builder.getOrCreate()
    rows = [(number, f"name {number}") for number in range(20)]
    frame = spark.createDataFrame(rows, "id int, name string").repartition(2)
    frame.write.parquet(f"{folder}/rows")
    stored = spark.read.parquet(f"{folder}/rows")
    counts = stored.groupBy(F.col("id") % 3).agg(F.count("*"), F.max("name"))
    stored.join(counts, F.col("id") == F.col("(id % 3)")).sort("name").toArrow()
    stored.mapInArrow(lambda batches: batches, stored.schema).persist().count()
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
