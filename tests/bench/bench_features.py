"""Cost of the features: `python -m tests.bench.bench_features [--quick]`.

All times are CPU time (process_time) of one thread. The candidates take turns, round after round, in one
process; a ratio is the median of the rounds' ratios, so that other work on the machine affects both sides.
The clips are four of FMA (30 s, 256 kbit/s MP3) in ../shared/data, or synthetic ones if that folder is
missing.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import librosa
import numpy as np
import scipy.stats
import soundfile
from threadpoolctl import threadpool_limits

from jobs.audio import decoding, features_of_file
from jobs.dsp import features
from jobs.dsp.accumulators import FeatureAccumulator, FeatureMap, Segment
from jobs.dsp.harmony import ConstantQHarmony, StftChroma
from jobs.dsp.timbre import Mel, Timbre
from tests.unit.dsp import test_features

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "fma_small" / "000"
DURATIONS_S = (1, 10, 30, 300, 900, 3_600, 14_400)
TRACKS = (100, 300, 1_000, 3_000, 10_000)


def main() -> None:
    """Run the benchmarks and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most 5 minutes and 300 tracks")
    parser.add_argument("--duration", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.duration:
        with threadpool_limits(1):
            print(json.dumps(measure_duration(arguments.duration)))
        return
    warnings.simplefilter("ignore")
    cores = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, librosa {librosa.__version__}"
    print(f"{cores} cores, {platform.platform()}, {versions}\n")
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        compare(find_clips(Path(folder)), rounds=2 if arguments.quick else 7)
        compare_durations([d for d in DURATIONS_S if d <= 300 or not arguments.quick])
        compare_track_counts(Path(folder), [n for n in TRACKS if n <= 300 or not arguments.quick])


def find_clips(folder: Path) -> list[str]:
    """Return four clips of 30 s."""
    real_clips = sorted(map(str, DATA.glob("*.mp3")))
    if real_clips:
        return real_clips
    for seed in range(4):
        soundfile.write(folder / f"{seed}.mp3", synthetic(30, seed), 44_100)
    return sorted(map(str, folder.glob("*.mp3")))


def synthetic(duration_s: float, seed: int = 0, rate: int = 44_100) -> np.ndarray:
    """Return two tones that fade twice a second, in noise."""
    time_s = np.arange(int(duration_s * rate)) / rate
    tones = np.sin(2 * np.pi * 220 * time_s) + np.sin(2 * np.pi * (330 + 10 * seed) * time_s)
    noise = np.random.default_rng(seed).standard_normal(time_s.size)
    return (0.2 * tones * np.exp(-3 * (time_s % 0.5)) + 0.02 * noise).astype(np.float32)


def decode(path: str) -> tuple[np.ndarray, int]:
    """Return a file's samples as `extract` decodes them."""
    decoder = decoding.open_audio(path)
    return np.concatenate(list(decoder.blocks())), decoder.sample_rate


class NoFeatures(FeatureAccumulator):
    """The work that all groups share: segments, their Fourier transform and frame statistics."""

    def add_frames(self, segment: Segment) -> None:
        pass

    def result(self) -> FeatureMap:
        return {}


def segue(*groups: type[FeatureAccumulator]) -> Callable[[str], FeatureMap]:
    """Return a function that decodes a file block by block and computes these groups."""

    def run(path: str) -> FeatureMap:
        decoder = decoding.open_audio(path)
        return features.extract_groups(
            decoder.blocks, sample_rate=decoder.sample_rate, groups=groups or features.GROUPS
        )

    return run


def plain_librosa(path: str) -> None:
    """The 518 by plain librosa, one call per feature."""
    test_features.librosa_features(*decode(path))


def fma_script(path: str) -> None:
    """The 518 as mdeff/fma's features.py computes them: one CQT and one STFT, at the file's sample rate."""
    y, sr = decode(path)
    cqt = np.abs(librosa.cqt(y, sr=sr, bins_per_octave=12, n_bins=84, tuning=None))
    stft = np.abs(librosa.stft(y))
    cens = librosa.feature.chroma_cens(C=cqt, bins_per_octave=12)
    mel = librosa.feature.melspectrogram(sr=sr, S=stft**2)
    for rows in (
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.chroma_cqt(C=cqt, bins_per_octave=12),
        cens,
        librosa.feature.tonnetz(chroma=cens),
        librosa.feature.chroma_stft(S=stft**2, sr=sr),
        librosa.feature.rms(S=stft),
        librosa.feature.spectral_centroid(S=stft, sr=sr),
        librosa.feature.spectral_bandwidth(S=stft, sr=sr),
        librosa.feature.spectral_contrast(S=stft, sr=sr),
        librosa.feature.spectral_rolloff(S=stft, sr=sr),
        librosa.feature.mfcc(S=librosa.power_to_db(mel)),
    ):
        for statistic in (np.mean, np.std, scipy.stats.skew, scipy.stats.kurtosis, np.median, np.min, np.max):
            statistic(rows, axis=1)


def three_calls(path: str) -> None:
    """The usual baseline: means of MFCC, centroid and zero crossings, three librosa calls at 22,050 Hz."""
    y, sr = librosa.load(path)
    librosa.feature.mfcc(y=y, sr=sr).mean(axis=1)
    librosa.feature.spectral_centroid(y=y, sr=sr).mean(axis=1)
    librosa.feature.zero_crossing_rate(y).mean(axis=1)


def compare(paths: list[str], rounds: int) -> None:
    """Print the cost of each candidate per clip, and its ratio to decoding and to Segue."""
    candidates = {
        "bare decode": decode,
        "Segue, all 920": segue(),
        "Segue, timbre (mel and spectrum)": segue(Mel, Timbre),
        "plain librosa, 518": plain_librosa,
        "mdeff/fma's script, 518": fma_script,
        "three librosa calls at 22,050 Hz": three_calls,
        "stage: decode + STFT + moments": segue(NoFeatures),
        "stage: with mfcc, delta, rhythm": segue(Mel),
        "stage: with contrast, roll-off, ...": segue(Timbre),
        "stage: with chroma_stft": segue(StftChroma),
        "stage: with constant-Q, tonnetz, key": segue(ConstantQHarmony),
    }
    for candidate in candidates.values():
        candidate(paths[0])  # compile, fill caches
    spent = {name: np.zeros((rounds, len(paths))) for name in candidates}
    for round_number in range(rounds):
        for number, path in enumerate(paths):
            for name, candidate in candidates.items():
                started = time.process_time()
                candidate(path)
                spent[name][round_number, number] = time.process_time() - started
    totals = {name: times.mean(axis=1) for name, times in spent.items()}
    print(f"CPU ms per 30-s clip, decoding included; {len(paths)} clips, {rounds} rounds in turns")
    print(f"{'':38}{'median':>8}{'best':>8}{'/ decode':>10}{'/ Segue':>8}")
    for name, times in totals.items():
        ratios = [np.median(times / totals[base]) for base in ("bare decode", "Segue, all 920")]
        print(
            f"{name:38}{1e3 * np.median(times):8.1f}{1e3 * times.min():8.1f}{ratios[0]:10.2f}{ratios[1]:8.2f}"
        )
    ratio = np.median(totals["Segue, all 920"] / totals["plain librosa, 518"])
    print(f"Segue / plain librosa: {ratio:.3f}\n")


def compare_durations(durations: list[float]) -> None:
    """Print time and memory for one recording of growing length, each in a process of its own."""
    print("One recording at 44.1 kHz")
    print(f"{'seconds':>10}{'CPU s':>10}{'ms per s':>10}{'passes':>10}{'peak MiB':>10}{'before':>8}")
    for duration in durations:
        command = [sys.executable, __file__, "--duration", str(duration)]
        row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(
            f"{duration:10,}{row['cpu_s']:10.2f}{1e3 * row['cpu_s'] / duration:10.2f}"
            f"{row['passes']:10}{row['peak']:10.0f}{row['before']:8.0f}"
        )
    print()


def measure_duration(duration_s: float) -> dict[str, float]:
    """Return CPU time and peak memory of the features of one synthetic recording of this length."""
    loop = synthetic(min(duration_s, 8))
    n_passes = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal n_passes
        n_passes += 1
        for start in range(0, int(duration_s * 44_100), loop.size):
            level = np.float32(0.6 + 0.4 * np.cos(start))
            yield level * loop[: int(duration_s * 44_100) - start]

    features.warm_up()
    before = peak_mib()
    started = time.process_time()
    features.extract_features(blocks, sample_rate=44_100)
    spent = time.process_time() - started
    return {"cpu_s": spent, "passes": n_passes, "peak": peak_mib(), "before": before}


def peak_mib() -> float:
    """Return this process's peak resident set in MiB; getrusage would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def compare_track_counts(folder: Path, counts: list[int]) -> None:
    """Print time and memory by number of tracks: 60 files of 3 s, extracted repeatedly in one process."""
    files = [str(folder / f"track{number}.wav") for number in range(60)]
    for number, file in enumerate(files):
        soundfile.write(file, synthetic(3, number), 44_100)
    print("Tracks of 3 s (60 files, repeated), one process, decoding included")
    print(f"{'tracks':>10}{'CPU s':>10}{'ms/track':>10}{'peak MiB':>10}")
    features_of_file.extract_file_features(files[0])
    done = 0
    started = time.process_time()
    spent: list[float] = []
    for count in counts:
        for number in range(done, count):
            features_of_file.extract_file_features(files[number % len(files)])
        done = count
        spent.append(time.process_time() - started)
        print(f"{count:10,}{spent[-1]:10.1f}{1e3 * spent[-1] / count:10.2f}{peak_mib():10.0f}")
    slope = np.polyfit(np.log(counts), np.log(spent), 1)[0]
    print(f"CPU time grows as tracks^{slope:.3f}")


if __name__ == "__main__":
    main()
