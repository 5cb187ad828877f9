"""Compress a library with FFmpeg to a lower bit rate: into `lake/audio`, or in place (crash-safe)."""

import argparse
import functools
import os
import shutil
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobs.audio import decoding, transcode
from jobs.audio.audio_hash import hash_file
from jobs.errors import InputError
from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS
from jobs.lake.storage import Lake, open_lake
from jobs.library import contents, files_table, known_files, listing, moves, replace, scan
from jobs.library.known_files import KnownFiles
from jobs.library.moves import MovedLibrary
from jobs.paths import fsync_dir, to_path, to_text
from jobs.progress import StepResult
from jobs.spark import file_tasks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--library", required=True, metavar="DIR", help="folder of music, searched recursively"
    )
    parser.add_argument(
        "--bitrate",
        default="64k",
        help="target bit rate, in bits per second or as in 64k, 8k to 512k (default 64k)",
    )
    parser.add_argument(
        "--codec",
        choices=transcode.CODECS,
        help="mp3: lossless files become MP3, the others keep their format; opus: all become Ogg Opus, which "
        "has the whole band at 64 kbit/s, and which Safari plays from 18.4 on (default mp3; what was "
        "compressed below the lake is compressed again only for a codec that is given)",
    )
    parser.add_argument(
        "--in-place",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="replace each original by its compressed file, atomically (default: write below the lake, leave "
        "the originals as they are)",
    )
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="process only the I-th of N parts of the library (default 1/1, the whole library)",
    )
    known_files.add_fma_argument(parser)
    rejects.add_arguments(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Update FILES and REJECTS from the library; return the counts."""
    bit_rate = transcode.parse_bit_rate(arguments.bitrate)
    shard = parse_shard(arguments.shard)
    lake = open_lake(arguments)
    library = moves.scan_library(arguments.library, lake)
    if isinstance(library, MovedLibrary):
        return StepResult({"library": library.describe()})
    scan.log_skipped(library)
    known = known_files.recognize(
        arguments.master,
        lake,
        library,
        is_included=lambda path: in_shard(path, *shard),
        any_folder=arguments.fma_ids,
    )
    todo = plan_compression(
        lake,
        library,
        known,
        shard=shard,
        bit_rate=bit_rate,
        in_place=arguments.in_place,
        retry=arguments.retry_rejected,
        codec=arguments.codec,
    )
    _remove_stale_parts(lake, library, in_place=arguments.in_place)
    file_tasks.map_files(
        arguments.master,
        lake,
        todo,
        [row["size"] for row in todo],
        name="compress",
        function=functools.partial(
            compress_file,
            audio_root=str(lake.root / "audio"),
            bit_rate=bit_rate,
            in_place=arguments.in_place,
            codec=arguments.codec or "mp3",
        ),
        table=FILES,
        results=files_table.RESULT_TABLE,
    )
    files_table.commit_files(arguments.master, lake, library, known, step="compress")
    return StepResult(_counts(lake, library, n_attempted=len(todo)))


def plan_compression(
    lake: Lake,
    library: scan.ScanResult,
    known: KnownFiles,
    *,
    shard: tuple[int, int],
    bit_rate: int,
    in_place: bool,
    retry: bool,
    codec: str | None,
) -> list[file_tasks.TaskRow]:
    """Return the files of the shard that are not up to date, with the columns of a new attempt."""
    rejected = rejects.by_path(lake.read_arrow(REJECTS), "compress")
    todo = []
    for file in library.files:
        row = known.rows.get(file["path"])
        if not in_shard(file["path"], *shard) or files_table.is_up_to_date(
            file, row, bit_rate=bit_rate, in_place=in_place, retry=retry, codec=codec
        ):
            continue
        attempt = rejects.new_attempt(file["path"], rejected)
        # "rejected" already now: the row of a file that crashes its worker is this one.
        todo.append({**known.new_row(file), "target_bit_rate": bit_rate, "outcome": "rejected", **attempt})
    return todo


def _remove_stale_parts(lake: Lake, library: scan.ScanResult, *, in_place: bool) -> None:
    """Remove the temporary files of a killed run; in the library only if this run may change it."""
    shutil.rmtree(lake.root / "audio" / "parts", ignore_errors=True)
    if not in_place:
        return
    for path in library.stale_parts:
        with suppress(OSError):
            os.unlink(path)


def parse_shard(text: str) -> tuple[int, int]:
    """Return a shard's number and the number of shards, as (2, 3) for "2/3".

    Raises InputError for anything else.
    """
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split("/")]
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise InputError(f"--shard: expected a part of a whole, as in 2/3, found {text!r}")
    return numbers[0], numbers[1]


def in_shard(path: str, number: int, n_shards: int) -> bool:
    """Return whether a file belongs to a shard (1 to n_shards); this depends on its path alone."""
    return zlib.crc32(path.encode()) % n_shards == number - 1


def _counts(lake: Lake, library: scan.ScanResult, *, n_attempted: int) -> dict[str, Any]:
    prefix = scan.path_prefix(library.root)
    rows = lake.iter_rows(FILES, "path", "outcome")
    outcomes = Counter(row["outcome"] for row in rows if row["path"].startswith(prefix))
    return {
        "found": len(library.files),
        "compressed": outcomes["compressed"],
        "unchanged": outcomes["unchanged"],
        "rejected": outcomes["rejected"],
        "attempted": n_attempted,
        "skipped (not audio)": sum(library.skipped.values()),
    }


def compress_file(
    row: file_tasks.TaskRow, *, audio_root: str, bit_rate: int, in_place: bool, codec: str = "mp3"
) -> file_tasks.TaskRow | None:
    """Compress one file with a codec to `bit_rate` bits/s, below `audio_root` or in place.

    Returns the file's row of FILES, with `error` set if it cannot be used, or None if the file is gone
    meanwhile. Raises StepError if the disk or the machine fails.
    """
    row = {**row, "target_bit_rate": bit_rate, "outcome": "rejected"}
    path = to_path(row["path"])
    try:
        if in_place:
            path = replace.find_replaced(path)
        decoding.check_file(path)
        row = {**row, "path": to_text(path), **contents.identify(path, row)}
        header = decoding.read_header(path)
        encoder_tag = transcode.read_encoder_tag(path)
        # A tag with another content was copied from another file.
        is_compressed = encoder_tag is not None and encoder_tag.content_hash == row["content_hash"]
        if encoder_tag is not None and is_compressed and encoder_tag.target_bit_rate <= bit_rate:
            return {**row, **_compressed_columns(path, decoding.decoded_duration(path))}
        is_small = header.bit_rate is not None and header.bit_rate <= bit_rate
        if is_small and transcode.is_played_as_is(path):
            return {**row, **listing.original_columns(path, header), "outcome": "unchanged"}
        if in_place:
            return {**row, **_compress_in_place(path, row, header, codec)}
        return {**row, **_compress_to_lake(path, row, header, audio_root, codec)}
    except Exception as error:  # any error is this file's, and must not end the run
        return file_tasks.reject_row(row, error, path)


def _compressed_columns(path: str, duration_s: float) -> file_tasks.TaskRow:
    return {
        "audio_path": to_text(path),
        "duration_s": duration_s,
        "bit_rate": decoding.read_header(path).bit_rate,
        "outcome": "compressed",
    }


def _transcode(
    path: str, temp_path: str, row: file_tasks.TaskRow, header: decoding.Header, codec: str
) -> float | None:
    """Encode a file to a temporary file; return its duration in seconds, or None if it became no smaller.

    A short or unusual file can grow; the original is the better copy then.
    """
    duration_s = transcode.transcode(
        path,
        temp_path,
        bit_rate=row["target_bit_rate"],
        content_hash=row["content_hash"],
        header_s=header.duration_s,
        codec=codec,
    )
    is_better = os.path.getsize(temp_path) < row["size"] or not transcode.is_played_as_is(path)
    return duration_s if is_better else None


def _compress_to_lake(
    path: str, row: file_tasks.TaskRow, header: decoding.Header, audio_root: str, codec: str
) -> file_tasks.TaskRow:
    """Compress to a file below `audio_root` that is named by the content's hash.

    The file appears there only when it is complete, so a run after a kill can use it.
    """
    content_hash = row["content_hash"]
    folder = Path(audio_root, f"{row['target_bit_rate'] / 1000:g}k", content_hash[:2])
    target = folder / (content_hash + transcode.result_extension(path, codec))
    if target.exists():
        return _compressed_columns(str(target), decoding.decoded_duration(str(target)))
    parts = Path(audio_root, "parts")
    parts.mkdir(parents=True, exist_ok=True)
    temp_path = replace.create_temp(parts)
    try:
        duration_s = _transcode(path, temp_path, row, header, codec)
        if duration_s is None:
            return {**listing.original_columns(path, header), "outcome": "unchanged"}
        replace.check_unchanged(path, row)
        folder.mkdir(parents=True, exist_ok=True)
        os.chmod(temp_path, 0o644)
        fsync_dir(temp_path)  # works for a file, too
        os.replace(temp_path, target)
    finally:
        replace.remove_temp(temp_path)
    fsync_dir(folder)
    return _compressed_columns(str(target), duration_s)


def _compress_in_place(
    path: str, row: file_tasks.TaskRow, header: decoding.Header, codec: str
) -> file_tasks.TaskRow:
    """Replace a file by its compressed form.

    At every moment the original or the verified result exists as a whole, even after a kill or a power cut.
    """
    folder = os.path.dirname(path)
    temp_path = replace.create_temp(folder)
    try:
        duration_s = _transcode(path, temp_path, row, header, codec)
        if duration_s is None:
            return {**listing.original_columns(path, header), "outcome": "unchanged"}
        status = os.stat(path)
        os.chown(temp_path, status.st_uid, status.st_gid)
        shutil.copystat(path, temp_path)
        fsync_dir(temp_path)  # works for a file, too
        replace.check_unchanged(path, row)
        target = replace.rename_into_place(temp_path, path, row["content_hash"], codec)
    finally:
        replace.remove_temp(temp_path)
    fsync_dir(folder)
    # Lossless to MP3: the result is on the disk under its name before the original is removed.
    if target != path:
        os.unlink(path)
        fsync_dir(folder)
    return {
        "path": to_text(target),
        **scan.file_stat(target),
        **vars(hash_file(target)),
        **_compressed_columns(target, duration_s),
    }
