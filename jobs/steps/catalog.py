"""TRACKS from FILES: one track per content, with its id, its tags and FMA's metadata.

New tracks are written to MongoDB as well.
"""

import argparse
import logging
from collections.abc import Mapping
from typing import Any

from jobs.fma import metadata_tables
from jobs.lake import rejects
from jobs.lake.schemas import FMA_METADATA, TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.library import known_files, listing, tracks_table
from jobs.online import mongo, track_documents
from jobs.paths import escape_control_chars
from jobs.progress import StepResult

log = logging.getLogger("segue")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--library",
        metavar="DIR",
        help="folder of music whose files are listed first; those not compressed are used as they are",
    )
    known_files.add_fma_argument(parser)
    add_metadata_arguments(parser)
    parser.add_argument(
        "--no-mongo", action="store_true", help="do not write to MongoDB; the publish step updates it"
    )
    rejects.add_arguments(parser)


def add_metadata_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --metadata and --skip-invalid."""
    parser.add_argument(
        "--metadata",
        metavar="DIR",
        help="folder or .zip of FMA's fma_metadata; its content is stored in the lake",
    )
    parser.add_argument(
        "--skip-invalid",
        action="store_true",
        help="skip and count invalid metadata records instead of stopping at the first",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Update TRACKS from FILES, FMA_METADATA and FMA_GENRES, then MongoDB from TRACKS; return the counts."""
    lake = open_lake(arguments)
    metadata_counts: Mapping[str, int] = {}
    if arguments.metadata:
        metadata_counts = metadata_tables.load_metadata(
            arguments.metadata, lake, skip_invalid=arguments.skip_invalid
        )
    moved = listing.update_files_table(arguments, lake) if arguments.library else None
    n_files, n_new = tracks_table.update_tracks(arguments.master, lake)
    counts = _counts(lake, n_files=n_files, n_new=n_new, metadata_counts=metadata_counts)
    if moved is not None:
        counts["library"] = moved.describe()
    if not arguments.no_mongo:
        with mongo.connect(arguments.mongo, lake.root) as database:
            counts["new in MongoDB"] = track_documents.update_track_documents(database, lake)
    return StepResult(counts)


def _counts(lake: Lake, *, n_files: int, n_new: int, metadata_counts: Mapping[str, int]) -> dict[str, Any]:
    rows = lake.read_arrow(TRACKS, "path", "source", "tag_error").to_pylist()
    with_audio = [row for row in rows if row["path"] is not None]
    counts = {"tracks": len(rows), "new": n_new, "duplicates": n_files - len(with_audio)}
    with_error = [row for row in with_audio if row["tag_error"] is not None]
    if with_error:
        path, error = escape_control_chars(with_error[0]["path"]), with_error[0]["tag_error"]
        log.warning("%d files have a tag that cannot be read, as %s: %s", len(with_error), path, error)
        counts["unreadable tags"] = len(with_error)
    n_records = lake.count_rows(FMA_METADATA)
    if n_records:
        with_metadata = sum(row["source"] == "fma" for row in with_audio)
        counts |= metadata_counts
        counts["metadata without audio"] = n_records - with_metadata
        counts["audio without metadata"] = len(with_audio) - with_metadata
    return counts
