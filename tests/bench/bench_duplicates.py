"""Whether features could confirm what fingerprints call one recording: distances of pairs, by kind.

    python -m tests.bench.bench_duplicates FOLDER [--clips 40]

Of each file in FOLDER, searched recursively, half a minute is encoded at 64 kbit/s, at 22 kHz and as Opus of
32 kbit/s, and mixed with another file's 12 dB below it. Prints, for pairs of one recording, of a recording
and its mix, and of different recordings: how many the fingerprints call one recording, and the percentiles of
the bit errors and of the distance of the features (root mean square of standardized values).
"""

import argparse
import itertools
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

from jobs.audio import decoding, features_of_file
from jobs.audio.fingerprint import fingerprint
from jobs.lake.feature_columns import FEATURE_COLUMNS, all_descriptor_columns
from jobs.library import duplicates

FORMS = {
    "64k.mp3": ("-b:a", "64k"),
    "22k.mp3": ("-ar", "22050", "-b:a", "48k"),
    "32k.opus": ("-c:a", "libopus", "-b:a", "32k"),
}
# What depends least on a file's form.
COLUMNS = all_descriptor_columns(("mel_mean", "harmonic_share", "fluctuation_pattern"))
PERCENTILES = (0, 5, 50, 95, 100)


def encode(source: Path, target: Path, *options: str) -> Path:
    command = [decoding.ffmpeg_path(), "-v", "error", "-y", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True)
    return target


def mix(clip: Path, other: Path, target: Path) -> Path:
    loud, rate = soundfile.read(clip, always_2d=True)
    quiet, _ = soundfile.read(other, always_2d=True)
    size = min(len(loud), len(quiet))
    level = 10 ** (-12 / 20) * loud.std() / max(quiet.std(), 1e-9)
    soundfile.write(target, np.clip(loud[:size] + level * quiet[:size], -1, 1), rate)
    return target


def describe(path: Path) -> tuple[np.ndarray, np.ndarray]:
    values = features_of_file.extract_file_features(str(path)).values
    return values[[FEATURE_COLUMNS.index(name) for name in COLUMNS]], fingerprint(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=40)
    arguments = parser.parse_args()
    files = [path for path in sorted(arguments.folder.rglob("*")) if path.suffix in decoding.EXTENSIONS]
    described = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cut = ("-t", "30", "-ac", "2", "-ar", "44100")
        clips = [encode(path, folder / f"{n}.wav", *cut) for n, path in enumerate(files[: arguments.clips])]
        for number, clip in enumerate(clips):
            copies = [encode(clip, folder / f"{number}-{form}", *words) for form, words in FORMS.items()]
            mixed = mix(clip, clips[number - 1], folder / f"{number}-mixed.wav")
            for path in (clip, *copies, mixed):
                described[number, path.name] = describe(path)
    print_pairs(described)


def print_pairs(described: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]) -> None:
    originals = np.array([features for (n, name), (features, _) in described.items() if name == f"{n}.wav"])
    spread = originals.std(axis=0) + 1e-9
    found = defaultdict(list)
    for one, other in itertools.combinations(described, 2):
        mixes = sum("mixed" in name for _, name in (one, other))
        if mixes == 2 or (
            one[0] != other[0] and not (one[1] == f"{one[0]}.wav" and other[1] == f"{other[0]}.wav")
        ):
            continue
        kind = "different" if one[0] != other[0] else "mixed" if mixes else "same"
        rate = duplicates.bit_errors(described[one][1], described[other][1])
        is_same = duplicates.is_same_recording(described[one][1], described[other][1], rate)
        distance = np.sqrt((((described[one][0] - described[other][0]) / spread) ** 2).mean())
        found[kind].append((is_same, np.nan if rate is None else rate, distance))
    print(f"{'':<10} pairs  called one  {PERCENTILES} % of bit errors | of the distance")
    for kind, rows in found.items():
        is_same, rates, distances = np.array(rows, dtype=float).T
        columns = [np.nanpercentile(values, PERCENTILES).round(2).tolist() for values in (rates, distances)]
        print(f"{kind:<10} {len(rows):>5}  {int(is_same.sum()):>10}  {columns[0]} | {columns[1]}")


if __name__ == "__main__":
    main()
