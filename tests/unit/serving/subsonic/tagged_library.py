"""A small library with every tag, and its lake, made without Spark."""

import os
import subprocess

import imageio_ffmpeg
import numpy as np
import pyarrow as pa
from mutagen.id3 import ID3, TALB, TCMP, TIT2, TPE1, TPE2, TPOS, TRCK
from PIL import Image

from jobs.lake.schemas import EMBEDDINGS, FEATURES, FILES, TRACKS
from jobs.lake.storage import Lake
from jobs.library.tracks_table import read_track_row
from tests.unit.audio import tagged_files


def make(folder):
    """Write the library and its lake into a folder; return the lake."""
    silence = {}
    for suffix in (".flac", ".mp3"):
        silence[suffix] = folder / f"silence{suffix}"
        source = ("-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo", "-t", "0.5")
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-map_metadata", "-1"]
        subprocess.run([*command, os.fspath(silence[suffix])], check=True)

    def copy(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(silence[path.suffix].read_bytes())
        return path

    write_library(folder / "music", copy)
    return write_lake(folder / "lake", folder / "music")


def write_library(music, copy):
    """Write albums: with every tag, a compilation, with guests, of two discs, and two of one name.

    `copy` copies a short file of silence to a path.
    """
    tagged_files.FORMATS["xiph.flac"](copy(music / "Suite" / "07.flac"))
    (music / "Suite" / "07.lrc").write_text("[00:01.50]One\n[01:02.00]Two")
    Image.new("RGB", (32, 32), (224, 0, 0)).save(music / "Suite" / "Cover.JPG")
    for number, artist in enumerate(("Ada", "Ben", "Cleo"), 1):
        frames = [TIT2(text=f"Hit {number}"), TPE1(text=artist), TALB(text="Night Bus"), TCMP(text="1")]
        id3(copy(music / "Bus" / f"{number}.mp3"), *frames, TRCK(text=str(number)))
    for number, artist in enumerate(("Mara Quill", "Mara Quill feat. Jon Doe", "Mara Quill & The Sea"), 1):
        frames = [
            TIT2(text=f"Song {number}"),
            TPE1(text=artist),
            TALB(text="Guests"),
            TPE2(text="Mara Quill"),
        ]
        id3(copy(music / "Guests" / f"{number}.mp3"), *frames, TRCK(text=str(number)))
    for disc in (1, 2):
        for number in (1, 2):
            path = copy(music / "Rooms" / f"CD {disc}" / f"{number}.mp3")
            frames = [TPE1(text="The Lanterns"), TALB(text="Two Rooms"), TRCK(text=f"{number}/2")]
            frames += [TPOS(text="2")] if disc == 2 else []
            id3(path, TIT2(text=f"Room {disc}-{number}"), *frames)
    for artist in ("Ada", "Ben"):
        frames = [TIT2(text="One"), TPE1(text=artist), TALB(text="Best Of"), TRCK(text="1")]
        id3(copy(music / "Best" / f"{artist}.mp3"), *frames)


def id3(path, *frames):
    tags = ID3()
    for frame in frames:
        tags.add(frame)
    tags.save(path)


def write_lake(root, music):
    """Write the tables of the music as the pipeline does: one computed tempo, random embeddings."""
    lake = Lake(root)
    files, tracks = [], []
    for number, path in enumerate(sorted(music.rglob("*.*"))):
        if path.suffix not in (".flac", ".mp3"):
            continue
        shared = {"path": str(path), "audio_path": str(path), "library": str(music), "mtime_ns": 1}
        row = read_track_row(
            {**shared, "content_hash": f"{number:064d}", "duration_s": 0.5, "bit_rate": 64_000}
        )
        files.append({"path": str(path), "library": str(music)})
        tracks.append({**row, "track_id": f"{number:016d}", "added_ns": (1_700_000_000 + number) * 10**9})
    tempo = [{"track_id": track["track_id"], "feature_version": "1", "tempo": 97.6} for track in tracks]
    vectors = np.random.default_rng(0).standard_normal((len(tracks), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    embeddings = [
        {"model_version": "1", "track_id": track["track_id"], "embedding": vector, "cluster": number % 2}
        for number, (track, vector) in enumerate(zip(tracks, vectors, strict=True))
    ]
    tables = ((FILES, files), (TRACKS, tracks), (FEATURES, tempo), (EMBEDDINGS, embeddings))
    for table, rows in tables:
        lake.commit_arrow(table, [pa.RecordBatch.from_pylist(rows, table.arrow_schema())])
    return lake
