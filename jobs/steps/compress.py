"""Compress a library with FFmpeg to a lower bit rate: `lake/audio` beside it, or in place by a crash-safe swap."""

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
from jobs.errors import InputError, UnusableFile
from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS
from jobs.lake.storage import Lake, open_lake
from jobs.library import files_table, replace, scan
from jobs.paths import fsync_dir, to_path, to_text
from jobs.progress import StepResult
from jobs.spark import file_tasks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--library", required=True, metavar="DIR", help="folder of music, searched recursively"
    )
    parser.add_argument(
        "--bitrate", default="64k", help="target, in bits per second or as in 64k (default 64k)"
    )
    parser.add_argument(
        "--in-place",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="replace each original by its compressed file, one atomic rename each (default: originals stay)",
    )
    parser.add_argument(
        "--shard", default="1/1", metavar="I/N", help="only the I-th of N parts of the library"
    )
    rejects.add_arguments(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Bring FILES and REJECTS up to date with the library; return the counts."""
    bit_rate = parse_bit_rate(arguments.bitrate)
    shard = parse_shard(arguments.shard)
    lake = open_lake(arguments)
    found = scan.scan(arguments.library, lake.root)
    known = {
        row["path"]: row
        for row in lake.read_arrow(FILES).to_pylist() + lake.read_staged_arrow(FILES).to_pylist()
    }
    rejected = rejects.by_path(lake.read_arrow(REJECTS), "compress")
    # Of a file that crashes its worker this is all there is.
    decided = {"target_bit_rate": bit_rate, "outcome": "rejected"}
    todo = [
        {**file, **decided, **rejects.new_attempt(file["path"], rejected)}
        for file in found.files
        if in_shard(file["path"], *shard)
        and not is_done(file, known.get(file["path"]), bit_rate, arguments.in_place, arguments.retry_rejected)
    ]
    _clean_up(lake, found, arguments.in_place)
    function = functools.partial(
        compress_file, audio_root=str(lake.root / "audio"), bit_rate=bit_rate, in_place=arguments.in_place
    )
    sizes = [row["size"] for row in todo]
    file_tasks.map_files(
        arguments.master,
        lake,
        todo,
        sizes,
        name="compress",
        function=function,
        table=FILES,
        results=files_table.RESULT_TABLE,
    )
    files_table.commit_files(arguments.master, lake, found, step="compress")
    return StepResult(_counts(lake, found, len(todo)))


def _clean_up(lake: Lake, found: scan.ScanResult, in_place: bool) -> None:
    """Remove what a killed run was writing; in the library only where this run is to change it."""
    shutil.rmtree(lake.root / "audio" / "parts", ignore_errors=True)
    for path in found.stale_parts if in_place else []:
        with suppress(OSError):
            os.unlink(path)


def parse_bit_rate(text: str) -> int:
    """Return bits per second: 64000 of "64k" or "64000". InputError outside 8k to 512k."""
    digits = text.lower().removesuffix("k")
    rate = int(digits) * (1000 if text.lower().endswith("k") else 1) if digits.isdecimal() else 0
    if not 8_000 <= rate <= 512_000:
        raise InputError(f"--bitrate: expected 8k to 512k, found {text!r}")
    return rate


def parse_shard(text: str) -> tuple[int, int]:
    """Return (2, 3) of "2/3". InputError where that is no part of a whole."""
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split("/")]
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise InputError(f"--shard: expected a part of a whole, as in 2/3, found {text!r}")
    return numbers[0], numbers[1]


def in_shard(path: str, number: int, of: int) -> bool:
    """Tell whether a file belongs to this shard: by its path alone, whatever else is in the library."""
    return zlib.crc32(path.encode()) % of == number - 1


def is_done(
    file: dict[str, Any], row: dict[str, Any] | None, bit_rate: int, in_place: bool, retry: bool
) -> bool:
    """Tell whether FILES' `row` of a file (None if it has none) still holds for it and for what is asked now."""
    if row is None or not scan.is_unchanged(file, row):
        return False
    if row["outcome"] == "rejected":
        return not retry
    if row["outcome"] == "unchanged":
        return bool(row["target_bit_rate"] <= bit_rate)
    beside = row["audio_path"] != row["path"]
    there = os.path.exists(to_path(row["audio_path"]))
    return row["target_bit_rate"] == bit_rate and there and not (in_place and beside)


def _counts(lake: Lake, found: scan.ScanResult, tried: int) -> dict[str, Any]:
    below = scan.path_prefix(found.root)
    rows = lake.read_arrow(FILES, "path", "outcome").to_pylist()
    outcomes = Counter(row["outcome"] for row in rows if row["path"].startswith(below))
    return {
        "found": len(found.files),
        "compressed": outcomes["compressed"],
        "unchanged": outcomes["unchanged"],
        "rejected": outcomes["rejected"],
        "tried now": tried,
        "left alone": sum(found.skipped.values()),
    }


def compress_file(
    row: file_tasks.FileRow, *, audio_root: str, bit_rate: int, in_place: bool
) -> file_tasks.FileRow | None:
    """Bring one file of FILES to `bit_rate` bits/s, below `audio_root` or in place; return its row, errors included.

    None where it is gone meanwhile, StepError where disk or machine failed.
    """
    row = {**row, "target_bit_rate": bit_rate, "outcome": "rejected"}
    path = to_path(row["path"])
    try:
        if in_place:
            path = replace.find_replaced(path)
        decoding.check_file(path)
        row = {
            **row,
            "path": to_text(path),
            **scan.file_stat(path),
            "content_hash": files_table.file_hash(path),
        }
        header = decoding.read_header(path)
        mark = transcode.read_encoder_tag(path)
        if mark is not None:
            row["content_hash"] = mark.content_hash
            if mark.target_bit_rate <= bit_rate:
                return {**row, **_compressed(path, decoding.decoded_duration(path))}
        if header.bit_rate is not None and header.bit_rate <= bit_rate:
            return {**row, **_kept(path, header)}
        if in_place:
            return {**row, **_swap(path, row, header, bit_rate)}
        return {**row, **_beside(path, row, header, audio_root, bit_rate)}
    except Exception as error:  # whatever one file does, it is that file's row
        return file_tasks.reject_row(row, error, path)


def _kept(path: str, header: decoding.Header) -> file_tasks.FileRow:
    duration = header.duration_s or decoding.decoded_duration(path)
    if not duration:
        raise UnusableFile("expected audio, found a header and nothing that decodes")
    bit_rate = header.bit_rate or int(os.path.getsize(path) * 8 / duration)
    return {"audio_path": to_text(path), "duration_s": duration, "bit_rate": bit_rate, "outcome": "unchanged"}


def _compressed(path: str, duration: float) -> file_tasks.FileRow:
    bit_rate = decoding.read_header(path).bit_rate
    return {
        "audio_path": to_text(path),
        "duration_s": duration,
        "bit_rate": bit_rate,
        "outcome": "compressed",
    }


def _beside(
    path: str, row: file_tasks.FileRow, header: decoding.Header, audio_root: str, bit_rate: int
) -> file_tasks.FileRow:
    """Compress to a name made of the content's hash: there whole or not at all, and found again after any kill."""
    digest, extension = row["content_hash"], transcode.result_extension(path)
    target = Path(audio_root, f"{bit_rate / 1000:g}k", digest[:2], digest + extension)
    if target.exists():
        return _compressed(str(target), decoding.decoded_duration(str(target)))
    parts = Path(audio_root, "parts")
    parts.mkdir(parents=True, exist_ok=True)
    part = replace.create_temp(parts)
    try:
        duration = transcode.transcode(
            path, part, bit_rate=bit_rate, content_hash=digest, promised_s=header.duration_s
        )
        if (
            os.path.getsize(part) >= row["size"]
        ):  # a short or odd file can grow: the original is the better copy
            return _kept(path, header)
        replace.check_unchanged(path, row)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.chmod(part, 0o644)
        fsync_dir(part)
        os.replace(part, target)
    finally:
        replace.remove_temp(part)
    fsync_dir(target.parent)
    return _compressed(str(target), duration)


def _swap(path: str, row: file_tasks.FileRow, header: decoding.Header, bit_rate: int) -> file_tasks.FileRow:
    """Replace `path` by its compressed file. At every line the original or the checked result is there, whole."""
    folder = os.path.dirname(path)
    part = replace.create_temp(folder)
    try:
        duration = transcode.transcode(
            path, part, bit_rate=bit_rate, content_hash=row["content_hash"], promised_s=header.duration_s
        )
        if os.path.getsize(part) >= row["size"]:
            return _kept(path, header)
        status = os.stat(path)
        os.chown(part, status.st_uid, status.st_gid)
        shutil.copystat(path, part)
        fsync_dir(part)
        replace.check_unchanged(path, row)
        target = replace.rename_into_place(part, path, row["content_hash"])
    finally:
        replace.remove_temp(part)
    fsync_dir(folder)
    if (
        target != path
    ):  # lossless to mp3: the result is on the disk, under its own name, before the original goes
        os.unlink(path)
        fsync_dir(folder)
    return {"path": to_text(target), **scan.file_stat(target), **_compressed(target, duration)}
