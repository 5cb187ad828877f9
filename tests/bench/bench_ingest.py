"""CPU of one 30-s clip, from the file to everything that is known of it, part by part beside its limit.

    .venv/bin/python -m tests.bench.bench_ingest [FOLDER] [--rounds 5]

FOLDER has clips of about 30 s (default: FMA's in ../shared/data). The parts take turns, round after round; a
figure is the least of a clip's rounds, averaged over the clips: CPU milliseconds (user and system) of this
process and of the FFmpeg it starts. A limit is what cannot be left out of a part: decoding, or FFmpeg alone
with the same encoder. Hours are for FMA's 106,574 clips.
"""

import argparse
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jobs.audio import decoding, features_of_file, fingerprint, tags
from jobs.audio.audio_hash import hash_file
from jobs.steps.compress import compress_file

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "fma_small" / "000"
N_TRACKS, BIT_RATE = 106_574, 64_000


def cpu_ms(function: Callable[[], Any]) -> float:
    """Return the CPU milliseconds of a call and of the processes that it waits for."""
    before = _cpu_s()
    function()
    return 1_000 * (_cpu_s() - before)


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ffmpeg(path: str, *options: str) -> None:
    command = [decoding.ffmpeg_path(), "-nostdin", "-v", "error", "-threads", "1", "-i", path, *options]
    subprocess.run([*command, "-"], check=True, stdout=subprocess.DEVNULL)


def compress(path: str, folder: str, codec: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as audio_root:
        stat = os.stat(path)
        row = {"path": path, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
        done = compress_file(row, audio_root=audio_root, bit_rate=BIT_RATE, in_place=False, codec=codec)
        if done is None or done["outcome"] != "compressed":
            raise SystemExit(f"{path}: expected a compressed file, found {done}")


def decode(path: str) -> None:
    for _ in decoding.open_audio(path).blocks():
        pass


def parts(path: str, folder: str) -> dict[str, Callable[[], Any]]:
    """Return the parts by name, the limits after what they limit."""
    wav = ("-vn", "-f", "s16le")
    return {
        "hash": lambda: hash_file(path),
        "tags": lambda: tags.read_tags(path, str(Path(path).parent)),
        "compress, MP3": lambda: compress(path, folder, "mp3"),
        "  FFmpeg alone": lambda: ffmpeg(path, "-vn", "-c:a", "libmp3lame", "-b:a", "64k", "-f", "mp3"),
        "compress, Opus": lambda: compress(path, folder, "opus"),
        "  FFmpeg alone ": lambda: ffmpeg(path, "-vn", "-c:a", "libopus", "-b:a", "64k", "-f", "ogg"),
        "features and MusiCNN": lambda: features_of_file.extract_file_features(path),
        "  decode": lambda: decode(path),
        "fingerprint": lambda: fingerprint.fingerprint(path),
        "  FFmpeg decodes": lambda: ffmpeg(path, *wav),
        "  FFmpeg starts": lambda: subprocess.run([decoding.ffmpeg_path(), "-version"], capture_output=True),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=DATA, help="clips of 30 s")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    arguments = parser.parse_args()
    clips = sorted(str(path) for path in arguments.folder.iterdir() if path.is_file())
    least: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            for function in parts(clip, folder).values():
                function()  # imports, weights, plans of transforms
            rounds = [
                {name: cpu_ms(function) for name, function in parts(clip, folder).items()}
                for _ in range(arguments.rounds)
            ]
            for name in rounds[0]:
                least.setdefault(name, []).append(min(each[name] for each in rounds))
    means = {name: float(np.mean(values)) for name, values in least.items()}
    for name, value in means.items():
        print(f"{name:24} {value:7.1f} ms")
    for codec in ("MP3", "Opus"):
        total = sum(
            means[name]
            for name in ("hash", "tags", f"compress, {codec}", "features and MusiCNN", "fingerprint")
        )
        hours = [f"{total * N_TRACKS / 3.6e6 / cores:.1f}" for cores in (2, 16, 64)]
        print(f"{f'all, {codec}':24} {total:7.0f} ms; hours on 2, 16, 64 cores: {', '.join(hours)}")


if __name__ == "__main__":
    main()
