"""TRACKS from FILES: one track per content, its id, its tags, and what FMA's metadata says of it; also in MongoDB."""

import argparse
from typing import Any

from jobs.fma import metadata_tables
from jobs.lake import rejects
from jobs.lake.schemas import FMA_METADATA, TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.library import listing, tracks_table
from jobs.online import mongo, track_documents
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--library",
        metavar="DIR",
        help="list the folder's audio first; what is not compressed yet stays where it is",
    )
    add_metadata_arguments(parser)
    parser.add_argument(
        "--no-mongo", action="store_true", help="leave MongoDB as it is; publish brings it up to date"
    )
    rejects.add_arguments(parser)


def add_metadata_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --metadata and --skip-invalid."""
    parser.add_argument(
        "--metadata",
        metavar="DIR",
        help="FMA's fma_metadata, unpacked or as .zip; the lake keeps what it says",
    )
    parser.add_argument(
        "--skip-invalid",
        action="store_true",
        help="skip and count invalid records of the metadata instead of stopping",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Bring TRACKS up to date with FILES, FMA_METADATA and FMA_GENRES, then MongoDB with TRACKS; return the counts."""
    lake = open_lake(arguments)
    read = (
        metadata_tables.load_metadata(arguments.metadata, lake, skip_invalid=arguments.skip_invalid)
        if arguments.metadata
        else {}
    )
    if arguments.library:
        listing.update_files_table(arguments, lake)
    files, new = tracks_table.update_tracks(arguments.master, lake)
    counts = _counts(lake, new, files, read)
    if not arguments.no_mongo:
        with mongo.connect(arguments.mongo, lake.root) as database:
            counts["new in MongoDB"] = track_documents.update_track_documents(database, lake)
    return StepResult(counts)


def _counts(lake: Lake, new: int, files: int, read: dict[str, int]) -> dict[str, Any]:
    rows = lake.read_arrow(TRACKS, "path", "source").to_pylist()
    heard = [row for row in rows if row["path"] is not None]
    counts = {"tracks": len(rows), "new": new, "duplicates": files - len(heard)}
    records = lake.count_rows(FMA_METADATA)
    if records:
        known = sum(row["source"] == "fma" for row in heard)
        counts |= {
            **read,
            "metadata without audio": records - known,
            "audio without metadata": len(heard) - known,
        }
    return counts
