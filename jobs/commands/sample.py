"""`segue sample`: a smaller library out of a large one, with the same shares of genres and no artist in two
splits.

The files are hard links if the disk allows it, else copies. `sample.csv` lists every file with its metadata
and split; FMA's metadata is reduced to the sampled tracks.
"""

import argparse
import csv
import math
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs import progress
from jobs.audio import decoding, tags
from jobs.errors import InputError, UnusableFile
from jobs.fma import errata, metadata_tables
from jobs.fma.csv_records import ParseProblems, iter_records
from jobs.fma.source import MetadataSource
from jobs.library import scan
from jobs.paths import to_path, to_text
from jobs.progress import StepResult

# Shares of the splits for songs whose metadata has none, as in FMA.
SPLIT_SHARES = {"training": 0.8, "validation": 0.1, "test": 0.1}

_UNKNOWN_GENRE = ""
_HEADER = ("path", "track_id", "title", "artist", "genre", "split")


@dataclass(frozen=True)
class Song:
    """One file of the library; `split` is None if the metadata has none, `genre` is empty if unknown."""

    path: str
    track_id: str | None
    title: str
    artist: str
    genre: str
    split: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--library", required=True, metavar="DIR", help="folder of music to sample from")
    parser.add_argument(
        "--metadata",
        metavar="DIR",
        help="FMA's fma_metadata, whose genres and splits replace those of the tags",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to create; it may exist if empty"
    )
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--tracks", type=int, metavar="N", help="number of tracks to sample")
    size.add_argument("--hours", type=float, metavar="H", help="hours of music to sample")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the sample (default 0)")


def main(arguments: argparse.Namespace) -> StepResult:
    """Create the smaller library; return the counts."""
    size = arguments.tracks if arguments.tracks is not None else arguments.hours
    if not 0 < size < math.inf:
        raise InputError(f"expected --tracks or --hours above 0, found {size}")
    out = arguments.out.expanduser().absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out: expected an empty folder or none, found something in {out}")
    source = MetadataSource(arguments.metadata) if arguments.metadata else None
    library = scan.scan(arguments.library, out)
    with progress.watch("sample", len(library.files)):
        songs = describe_songs(library, source)
        order = stratified_order(songs, np.random.default_rng(arguments.seed))
        if arguments.tracks:
            sampled = order[: arguments.tracks]
        else:
            sampled = list(_take_seconds(arguments.hours * 3600, order))
        split_by_artist = artist_splits(sampled)
    _write_library(library, [(song, split_by_artist[song.artist]) for song in sampled], source, out)
    return StepResult(
        {
            "tracks": len(sampled),
            "in the library": len(songs),
            "genres": len({song.genre for song in sampled if song.genre}),
            "artists": len(split_by_artist),
        }
    )


def describe_songs(library: scan.ScanResult, source: MetadataSource | None) -> list[Song]:
    """Return the library's songs, described by FMA's metadata if it has them, else by their tags."""
    metadata = _read_metadata(source) if source is not None else {}
    songs = []
    for file in library.files:
        track_id = errata.fma_number(file["path"])
        row = metadata.get(track_id or "")
        if row is not None:
            song = Song(
                path=file["path"],
                track_id=track_id,
                title=row["track_title"] or "",
                artist=row["artist_name"] or tags.UNKNOWN_ARTIST,
                genre=row["track_genre_top"] or _UNKNOWN_GENRE,
                split=row["set_split"],
            )
        else:
            file_tags = tags.read_tags(to_path(file["path"]), to_path(file["library"]))
            song = Song(
                path=file["path"],
                track_id=track_id,
                title=file_tags["title"],
                artist=file_tags["artist"],
                genre=file_tags["genre"] or _UNKNOWN_GENRE,
                split=None,
            )
        songs.append(song)
    return songs


def _read_metadata(source: MetadataSource) -> dict[str, dict[str, Any]]:
    """Return the rows of tracks.csv by track_id."""
    problems = ParseProblems(source.display_path("tracks.csv"), skip_invalid=False)
    with source.open("tracks.csv") as stream:
        rows = metadata_tables.read_tracks(iter_records(stream, problems), problems)
        return {row["track_id"]: row for row in rows}


def stratified_order(songs: list[Song], random: np.random.Generator) -> list[Song]:
    """Return the songs in an order in which every prefix has the genres' shares, to a track.

    Within a genre the order is random. The i-th of a genre's n songs gets the position (i + 0.5) / n, and all
    songs are sorted by position.
    """
    songs_by_genre = defaultdict(list)
    for song in songs:
        songs_by_genre[song.genre].append(song)
    positioned = []
    for genre in sorted(songs_by_genre):
        members = songs_by_genre[genre]
        for rank, index in enumerate(random.permutation(len(members))):
            positioned.append(((rank + 0.5) / len(members), genre, members[index]))
    positioned.sort(key=lambda entry: entry[:2])
    return [song for _, _, song in positioned]


def _take_seconds(seconds: float, order: list[Song]) -> Iterator[Song]:
    """Yield songs until their total length is reached; files without a known length are skipped."""
    for song in order:
        if seconds <= 0:
            return
        try:
            duration = decoding.read_header(to_path(song.path)).duration_s
        except (UnusableFile, OSError):
            continue
        if duration is not None:
            seconds -= duration
            yield song


def artist_splits(songs: list[Song]) -> dict[str, str]:
    """Return each artist's split, so that no artist is in two.

    It is the split that most of the artist's songs have, else the one that lacks most songs. Artists with
    more songs come first.
    """
    splits_by_artist = defaultdict(list)
    for song in songs:
        splits_by_artist[song.artist].append(song.split)
    split_sizes: Counter[str] = Counter()
    chosen = {}
    for artist in sorted(splits_by_artist, key=lambda name: (-len(splits_by_artist[name]), name)):
        known_splits = Counter(split for split in splits_by_artist[artist] if split)
        if known_splits:
            chosen[artist] = known_splits.most_common(1)[0][0]
        else:
            missing = {name: share * len(songs) - split_sizes[name] for name, share in SPLIT_SHARES.items()}
            chosen[artist] = max(missing, key=missing.__getitem__)
        split_sizes[chosen[artist]] += len(splits_by_artist[artist])
    return chosen


def _write_library(
    library: scan.ScanResult, sampled: list[tuple[Song, str]], source: MetadataSource | None, out: Path
) -> None:
    """Write the library to a temporary folder, then rename it, so that a kill leaves none or all of it."""
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for song, _ in sampled:
        _link_or_copy(to_path(song.path), part / os.path.relpath(to_path(song.path), library.root))
    with (part / "sample.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for song, split in sorted(sampled, key=lambda entry: entry[0].path):
            relative = to_text(os.path.relpath(to_path(song.path), library.root))
            writer.writerow([relative, song.track_id, song.title, song.artist, song.genre, split])
    if source is not None:
        split_by_id = {song.track_id: split for song, split in sampled if song.track_id}
        _write_metadata(source, split_by_id, part / "fma_metadata")
    if out.exists():
        out.rmdir()
    part.replace(out)


def _link_or_copy(path: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copy2(path, target)


def _write_metadata(source: MetadataSource, split_by_id: dict[str, str], folder: Path) -> None:
    """Write tracks.csv with the sampled tracks' records and splits, and copy the genres."""
    folder.mkdir()
    for name in ("genres.csv", "raw_genres.csv"):
        if source.has(name):
            with source.open(name) as stream, (folder / name).open("wb") as file:
                shutil.copyfileobj(stream, file)
    problems = ParseProblems(source.display_path("tracks.csv"), skip_invalid=False)
    with (
        source.open("tracks.csv") as stream,
        (folder / "tracks.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        records = iter_records(stream, problems)
        writer = csv.writer(file, lineterminator="\n")
        header = [next(records)[1] for _ in range(3)]
        writer.writerows(header)
        split_column = list(zip(header[0], header[1], strict=True)).index(("set", "split"))
        for _, fields in records:
            if fields[0] in split_by_id:
                fields[split_column] = split_by_id[fields[0]]
                writer.writerow(fields)
