"""A smaller library out of a large one: the same shares of genres, and no artist in two splits.

The files are linked where the disk allows it, else copied; `sample.csv` says of each what it is and in which split, and
FMA's metadata is cut down to what was taken.
"""

import argparse
import csv
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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

# Shares of the splits where the metadata has none, as in FMA.
SPLIT_SHARES = {"training": 0.8, "validation": 0.1, "test": 0.1}

_UNKNOWN_GENRE = ""
_HEADER = ("path", "track_id", "title", "artist", "genre", "split")


@dataclass(frozen=True)
class Song:
    """What is known of a file before it is taken; `split` is None where nobody has said."""

    path: str
    track_id: str | None
    title: str
    artist: str
    genre: str
    split: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--library", required=True, metavar="DIR", help="folder of music to take from")
    parser.add_argument(
        "--metadata", metavar="DIR", help="FMA's fma_metadata: its genres and splits instead of the tags'"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to make, empty or not there yet"
    )
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--tracks", type=int, metavar="N", help="take so many tracks")
    size.add_argument("--hours", type=float, metavar="H", help="take so much music")
    parser.add_argument("--seed", type=int, default=0, help="of the choice (default 0)")


def main(arguments: argparse.Namespace) -> StepResult:
    """Make the smaller library; return the counts."""
    if (arguments.tracks or arguments.hours or 0) <= 0:
        raise InputError("expected --tracks or --hours above 0")
    out = arguments.out.expanduser().absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out: expected an empty folder or none, found something in {out}")
    source = MetadataSource(arguments.metadata) if arguments.metadata else None
    found = scan.scan(arguments.library, out)
    with progress.watch("sample", len(found.files)):
        songs = describe_songs(found, source)
        order = stratified_order(songs, np.random.default_rng(arguments.seed))
        taken = order[: arguments.tracks] if arguments.tracks else list(_for(arguments.hours * 3600, order))
        split = artist_splits(taken)
    _write(found, [(song, split[song.artist]) for song in taken], source, out)
    return StepResult(
        {
            "tracks": len(taken),
            "in the library": len(songs),
            "genres": len({song.genre for song in taken if song.genre}),
            "artists": len(split),
        }
    )


def describe_songs(found: scan.ScanResult, source: MetadataSource | None) -> list[Song]:
    """Return what the metadata, else the tags, say of each file."""
    known = {}
    if source is not None:
        problems = ParseProblems(source.display_path("tracks.csv"), skip_invalid=False)
        with source.open("tracks.csv") as stream:
            known = {
                row["track_id"]: row
                for row in metadata_tables.read_tracks(iter_records(stream, problems), problems)
            }
    songs = []
    for file in found.files:
        track_id = errata.track_number(file["path"])
        row = known.get(track_id or "")
        if row is not None:
            genre, artist = row["track_genre_top"], row["artist_name"] or tags.UNKNOWN_ARTIST
            song = Song(
                file["path"],
                track_id,
                row["track_title"] or "",
                artist,
                genre or _UNKNOWN_GENRE,
                row["set_split"],
            )
        else:
            said = tags.read_tags(to_path(file["path"]), to_path(file["library"]))
            song = Song(
                file["path"], track_id, said["title"], said["artist"], said["genre"] or _UNKNOWN_GENRE, None
            )
        songs.append(song)
    return songs


def stratified_order(songs: list[Song], random: np.random.Generator) -> list[Song]:
    """Return the songs in an order of which every beginning has the genres in their shares, to a track.

    Within a genre the order is random; a genre's i-th of n stands at (i + 0.5) / n of the way.
    """
    genres = defaultdict(list)
    for song in songs:
        genres[song.genre].append(song)
    placed = []
    for genre in sorted(genres):
        members = genres[genre]
        for place, i in enumerate(random.permutation(len(members))):
            placed.append(((place + 0.5) / len(members), genre, members[i]))
    return [song for _, _, song in sorted(placed, key=lambda each: each[:2])]


def _for(seconds: float, order: list[Song]) -> Iterator[Song]:
    """Yield songs until they play as long as this; files that say nothing of their length are left out."""
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
    """Return each artist's split: the one most of its songs are in, else the one that lacks most; larger artists first."""
    by_artist = defaultdict(list)
    for song in songs:
        by_artist[song.artist].append(song.split)
    filled: Counter[str] = Counter()
    found = {}
    for artist in sorted(by_artist, key=lambda name: (-len(by_artist[name]), name)):
        said = Counter(split for split in by_artist[artist] if split)
        lacking = max(SPLIT_SHARES, key=lambda name: SPLIT_SHARES[name] * len(songs) - filled[name])
        found[artist] = said.most_common(1)[0][0] if said else lacking
        filled[found[artist]] += len(by_artist[artist])
    return found


def _write(
    found: scan.ScanResult, taken: list[tuple[Song, str]], source: MetadataSource | None, out: Path
) -> None:
    """Write the library under another name first: killed at any line, there is none or a whole one."""
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for song, _ in taken:
        path = to_path(song.path)
        target = part / os.path.relpath(path, found.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:  # another disk, or one without links
            shutil.copy2(path, target)
    with (part / "sample.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for song, split in sorted(taken, key=lambda each: each[0].path):
            relative = to_text(os.path.relpath(to_path(song.path), found.root))
            writer.writerow([relative, song.track_id, song.title, song.artist, song.genre, split])
    if source is not None:
        _write_metadata(
            source, {s.track_id: split for s, split in taken if s.track_id}, part / "fma_metadata"
        )
    if out.exists():
        out.rmdir()
    part.replace(out)


def _write_metadata(source: MetadataSource, taken: dict[str, str], folder: Path) -> None:
    """Write tracks.csv with the records of the tracks taken and their splits, and the genres as they are."""
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
        found, writer = iter_records(stream, problems), csv.writer(file, lineterminator="\n")
        header = [next(found)[1] for _ in range(3)]
        writer.writerows(header)
        place = list(zip(header[0], header[1], strict=True)).index(("set", "split"))
        for _, fields in found:
            if fields[0] in taken:
                fields[place] = taken[fields[0]]
                writer.writerow(fields)
