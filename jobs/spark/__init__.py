"""The Spark session, and functions mapped over files on its workers."""
