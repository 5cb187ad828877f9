"""Parquet tables: schemas, atomic versions, the append table PLAYS, rejects."""
