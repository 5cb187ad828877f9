"""The features: known answers, what is refused, and plain librosa calls side by side on real recordings."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.stats
import soundfile

from jobs.dsp import features, harmony, kernels, spectral, timbre
from jobs.lake.feature_columns import FMA_COLUMNS, SIGNAL_COLUMNS

DATA = Path(__file__).parents[4] / "shared" / "data"
# Music, a solo instrument, speech at 16 kHz, and an MP3 that ends at 16 kHz of 22: 30 s at most of each.
CLIPS = (
    "fma_small/000/000002.mp3",
    "fma_small/000/000193.mp3",
    "music/librosa-data/sorohanro_-_solo-trumpet-06.hq.ogg",
    "music/librosa-data/3436-172162-0000.hq.ogg",
    "music/kevin-macleod-ccby3/Arcadia.ogg",
)
RATE = 22_050


def tone(frequency: float, duration_s: float = 2.0, rate: int = RATE) -> np.ndarray:
    time = np.arange(int(duration_s * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def noise(duration_s: float = 2.0, rate: int = RATE) -> np.ndarray:
    return (0.1 * np.random.default_rng(7).standard_normal(int(duration_s * rate))).astype(np.float32)


def in_blocks(signal: np.ndarray, size: int) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: (signal[start : start + size] for start in range(0, len(signal), size))


def extract(signal: np.ndarray, rate: int = RATE) -> dict[str, float]:
    values = features.extract_features(lambda: iter([signal]), sample_rate=rate)
    assert values.shape == (len(SIGNAL_COLUMNS),)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    return dict(zip(SIGNAL_COLUMNS, values.tolist(), strict=True))


def numbers(result: dict[str, float], prefix: str) -> np.ndarray:
    return np.array([value for column, value in result.items() if column.startswith(prefix + "_")])


def tuning_of(levels: np.ndarray) -> float:
    tuning = spectral.TuningEstimator(spectral.filter_bank(RATE))
    tuning.add(np.ascontiguousarray(levels.T))
    return tuning.estimate()


def test_columns_are_fmas_and_more() -> None:
    assert len(FMA_COLUMNS) == len(set(FMA_COLUMNS)) == 518
    assert FMA_COLUMNS[0] == "chroma_cens_kurtosis_01"
    assert FMA_COLUMNS[-1] == "zcr_std_01"
    assert {"mfcc_mean_01", "mfcc_mean_20", "tonnetz_skew_06", "rmse_median_01"} <= set(FMA_COLUMNS)
    assert list(FMA_COLUMNS) == sorted(FMA_COLUMNS)
    assert SIGNAL_COLUMNS[:518] == FMA_COLUMNS
    assert len(SIGNAL_COLUMNS) == len(set(SIGNAL_COLUMNS)) == 1_448


def test_pure_tone_has_known_spectral_features() -> None:
    result = extract(tone(440))
    bin_hz = RATE / 2048
    assert result["spectral_centroid_median_01"] == pytest.approx(440, abs=0.5)
    assert result["spectral_rolloff_median_01"] == pytest.approx(440, abs=1.5 * bin_hz)
    # The main lobe of the Hann window is four bins wide.
    assert 0 < result["spectral_bandwidth_median_01"] < 2 * bin_hz
    assert result["zcr_median_01"] == pytest.approx(2 * 440 / RATE, abs=1 / 2048)
    # Root of the mean square, 0.5 / sqrt(2), times that of the Hann window, sqrt(3 / 8).
    assert result["rmse_median_01"] == pytest.approx(0.5 / np.sqrt(2) * np.sqrt(3 / 8), rel=1e-3)
    chroma = numbers(result, "chroma_stft_mean")
    assert chroma.argmax() == 9  # A, counted from C
    assert chroma[9] == pytest.approx(1)


def test_bandwidth_of_a_high_tone_is_precise() -> None:
    # In float32 the difference E[f^2] - E[f]^2 would be rounding.
    signal = tone(1_000 * RATE / 2048)
    reference = np.median(librosa.feature.spectral_bandwidth(y=signal, sr=RATE))
    assert extract(signal)["spectral_bandwidth_median_01"] == pytest.approx(reference, rel=1e-5)


@pytest.mark.parametrize("cents", [-40, -20, 0, 30])
def test_chroma_follows_the_tuning(cents: int) -> None:
    # The C major scale, a given number of cents off: its chroma is as sharp in any tuning.
    notes = [60, 62, 64, 65, 67, 69, 71, 72]
    signal = np.concatenate([tone(440 * 2 ** ((note - 69 + cents / 100) / 12), 0.5) for note in notes])
    assert extract(signal)["chroma_stft_max_01"] == pytest.approx(1)
    scale = numbers(extract(signal), "chroma_stft_mean")
    in_tune = [0, 2, 4, 5, 7, 9, 11]
    assert scale[in_tune].min() > np.delete(scale, in_tune).max()
    power = np.abs(librosa.stft(signal)) ** 2
    tuning = tuning_of(power)
    # A parabola through three bins of 11 Hz is some cents off.
    assert tuning == pytest.approx(cents / 100, abs=0.05)
    assert tuning == pytest.approx(librosa.estimate_tuning(S=power, sr=RATE))


def test_white_noise_has_known_spectral_features() -> None:
    result = extract(noise(10))
    assert result["spectral_centroid_mean_01"] == pytest.approx(RATE / 4, rel=0.01)
    # A uniform distribution over 0..RATE / 2.
    assert result["spectral_bandwidth_mean_01"] == pytest.approx(RATE / 2 / np.sqrt(12), rel=0.01)
    assert result["spectral_rolloff_mean_01"] == pytest.approx(0.85 * RATE / 2, rel=0.01)
    assert result["zcr_mean_01"] == pytest.approx(0.5, abs=0.01)
    assert result["rmse_median_01"] == pytest.approx(0.1 * np.sqrt(3 / 8), rel=0.02)
    # Half of the first and of the last frame is padding.
    assert result["zcr_min_01"] == pytest.approx(0.25, abs=0.03)


def test_square_wave_crosses_zero_twice_per_period() -> None:
    # Periods of 64 samples divide a frame: 63 or 64 crossings fall into 2,048 samples, padding has none.
    signal = np.tile(np.repeat([0.5, -0.5], 32), 1_000).astype(np.float32)
    result = extract(signal)
    assert result["zcr_median_01"] in (63 / 2048, 64 / 2048)
    assert result["zcr_max_01"] <= 64 / 2048
    assert result["zcr_min_01"] == pytest.approx(31 / 2048, abs=1 / 2048)
    reference = librosa.feature.zero_crossing_rate(signal)
    assert result["zcr_mean_01"] == pytest.approx(reference.mean())


def test_padding_of_a_negative_signal_is_no_zero_crossing() -> None:
    # RATE // 2 + 300 samples: the padding at the end lies inside a frame, too.
    result = extract(np.full(RATE // 2 + 300, -0.25, np.float32))
    assert numbers(result, "zcr_max") == 0


def test_tiny_samples_are_no_zero_crossings() -> None:
    result = extract(np.tile(np.array([0.5, 0, 0.5, -1e-11], np.float32), RATE))
    assert numbers(result, "zcr_max") == 0


def test_constant_signal_has_no_skew_or_kurtosis() -> None:
    result = extract(np.full(RATE, 0.5, np.float32))
    assert result["zcr_skew_01"] == result["zcr_kurtosis_01"] == 0
    assert result["spectral_rolloff_median_01"] <= RATE / 2048


def test_click_in_silence_has_a_flat_spectrum() -> None:
    signal = np.zeros(10 * RATE, np.float32)
    signal[5 * RATE] = 1
    result = extract(signal)
    # Only four frames contain the click.
    assert result["spectral_centroid_max_01"] == pytest.approx(RATE / 4, rel=1e-3)
    assert (
        result["spectral_centroid_median_01"]
        == result["rmse_median_01"]
        == result["chroma_stft_median_01"]
        == 0
    )


@pytest.mark.filterwarnings("error")
def test_nearly_silent_signal_gives_no_warning() -> None:
    extract(1e-4 * noise())
    extract(np.where(np.arange(RATE) == 7, 1e-30, 0).astype(np.float32))


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros(RATE, np.float32), "no sound"),
        (noise(0.5)[1:], r"at least 0.5 s of sound, found 0\.\d+ s"),
        (np.append(noise(), np.float32(np.nan)), "finite samples of about -1 to 1, found nan"),
        (np.append(noise(), np.float32(-np.inf)), "finite samples of about -1 to 1, found inf"),
        (1e20 * noise(), "finite samples of about -1 to 1, found"),
    ],
)
def test_unusable_signal_is_refused(signal: np.ndarray, message: str) -> None:
    with pytest.raises(features.SignalError, match=message) as refusal:
        features.extract_features(in_blocks(signal, 5_000), sample_rate=RATE)
    assert "\n" not in str(refusal.value)


def test_half_a_second_is_accepted() -> None:
    extract(noise(0.5))


@pytest.mark.parametrize("rate", [0, -44_100, 3_999, 400_001])
def test_sample_rate_out_of_range_is_refused(rate: int) -> None:
    with pytest.raises(features.SignalError, match=f"4000 to 400000 Hz, found {rate}"):
        features.extract_features(lambda: iter([noise()]), sample_rate=rate)


@pytest.mark.parametrize("rate", [4_000, 8_000, 12_800, 96_000, 192_000, 400_000])
def test_unusual_sample_rates_give_sound_features(rate: int) -> None:
    # 1,100 Hz is a C sharp (33 cents flat).
    signal = tone(1_100, 1, rate) + 0.01 * noise(1, rate)
    result = extract(signal, rate)
    assert result["zcr_median_01"] == pytest.approx(2 * 1_100 / rate, rel=0.3)
    assert numbers(result, "chroma_stft_mean").argmax() == 1
    # A band exists if it starts below half the sample rate; librosa has no others.
    n_bands = 1 + sum(200 * 2**octave < rate / 2 for octave in range(6))
    reference = librosa.feature.spectral_contrast(y=signal, sr=rate, n_bands=n_bands - 1)
    np.testing.assert_allclose(
        numbers(result, "spectral_contrast_mean")[:n_bands], reference.mean(axis=1), rtol=1e-4
    )
    assert (numbers(result, "spectral_contrast_max")[n_bands:] == 0).all()
    assert (numbers(result, "spectral_contrast_std")[n_bands:] == 0).all()


@pytest.mark.parametrize("size", [37, 511, 512, 100_003])
def test_block_size_does_not_change_features(size: int) -> None:
    # More than one segment, the last of which ends inside a hop.
    signal = noise(1.5, 48_000)
    assert len(signal) > (features.SEGMENT_FRAMES + 3) * features.HOP_LENGTH
    whole = features.extract_features(in_blocks(signal, len(signal)), sample_rate=48_000)
    pieces = features.extract_features(in_blocks(signal, size), sample_rate=48_000)
    np.testing.assert_array_equal(pieces, whole)


def test_empty_blocks_do_not_change_features() -> None:
    signal = noise()
    empty = signal[:0]
    blocks = [empty, signal[:9_999], empty, signal[9_999:], empty]
    whole = features.extract_features(in_blocks(signal, len(signal)), sample_rate=RATE)
    np.testing.assert_array_equal(features.extract_features(lambda: iter(blocks), sample_rate=RATE), whole)


@pytest.fixture
def sweep() -> np.ndarray:
    # Loudest at the end, so that decibels cut at the maximum so far would differ.
    time = np.arange(8 * RATE) / RATE
    swept = np.sin(2 * np.pi * (100 + 300 * time) * time) * np.logspace(-5, 0, time.size)
    return swept.astype(np.float32)


def test_long_signal_is_read_twice_with_equal_features(
    sweep: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_passes = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal n_passes
        n_passes += 1
        return in_blocks(sweep, 10_000)()

    short = features.extract_features(blocks, sample_rate=RATE)
    assert n_passes == 1
    monkeypatch.setattr(timbre, "LONG_FRAMES", 1 + len(sweep) // features.HOP_LENGTH)
    features.extract_features(blocks, sample_rate=RATE)
    assert n_passes == 2
    monkeypatch.setattr(timbre, "LONG_FRAMES", 200)
    long = features.extract_features(blocks, sample_rate=RATE)
    assert n_passes == 4
    np.testing.assert_array_equal(long, short)


def test_long_signal_of_another_length_is_refused(sweep: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timbre, "LONG_FRAMES", 200)
    passes = iter([sweep, sweep[: 3 * RATE]])
    with pytest.raises(
        features.SignalError, match="expected 345 frames in the second pass as in the first, found 130"
    ):
        features.extract_features(lambda: iter([next(passes)]), sample_rate=RATE)


@pytest.mark.parametrize("max_values", [1, 30_000, 40_000])
def test_memory_limit_adds_passes_with_equal_features(
    sweep: np.ndarray, monkeypatch: pytest.MonkeyPatch, max_values: int
) -> None:
    n_passes = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal n_passes
        n_passes += 1
        return in_blocks(sweep, 10_000)()

    whole = features.extract_features(blocks, sample_rate=RATE)
    monkeypatch.setattr(timbre, "LONG_FRAMES", 200)
    monkeypatch.setattr(harmony, "TUNING_FRAMES", 10_000)
    monkeypatch.setattr(features, "MAX_BUFFERED_VALUES", max_values)
    pieces = features.extract_features(blocks, sample_rate=RATE)
    # One pass for the maximum, then one per group that does not fit; 345 frames of 19, 12, 64 and 15 values.
    assert n_passes == 1 + {1: 6, 30_000: 3, 40_000: 2}[max_values]
    np.testing.assert_array_equal(pieces, whole)


def test_mfcc_slope_is_librosas() -> None:
    signal = noise(3)
    mfcc = librosa.feature.mfcc(y=signal, sr=RATE, n_mfcc=20)
    slope = librosa.feature.delta(mfcc, mode="nearest")
    result = extract(signal)
    np.testing.assert_allclose(numbers(result, "mfcc_delta_std"), slope.std(axis=1), rtol=1e-4)
    np.testing.assert_allclose(numbers(result, "mfcc_delta_max"), slope.max(axis=1), rtol=1e-4)
    covariance = np.cov(mfcc, bias=True)[np.triu_indices(20)]
    np.testing.assert_allclose(numbers(result, "mfcc_covariance"), covariance, atol=1e-4 * covariance.max())


def test_tuning_of_a_long_signal_is_that_of_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    tunings = []
    make_filters = spectral.chroma_filters

    def chroma_filters(sample_rate: int, tuning: float) -> np.ndarray:
        tunings.append(tuning)
        return make_filters(sample_rate, tuning)

    monkeypatch.setattr(spectral, "chroma_filters", chroma_filters)
    # The second part is louder and longer: the whole signal is 40 cents sharp.
    signal = np.concatenate([tone(440, 8), 2 * tone(440 * 2 ** (0.4 / 12), 16)])
    extract(signal)
    monkeypatch.setattr(harmony, "TUNING_FRAMES", 2 * features.SEGMENT_FRAMES)
    extract(signal)
    assert tunings == pytest.approx([0.4, 0], abs=0.05)


def test_warm_up_fills_the_caches() -> None:
    spectral.filter_bank.cache_clear()
    spectral.chroma_filters.cache_clear()
    features.warm_up()
    assert spectral.filter_bank.cache_info().currsize == spectral.chroma_filters.cache_info().currsize == 1


def test_chroma_cens_does_not_depend_on_blocks(sweep: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = features.extract_features(lambda: iter([sweep]), sample_rate=RATE)
    monkeypatch.setattr(harmony, "_CENS_FRAMES", 30)
    np.testing.assert_allclose(
        features.extract_features(lambda: iter([sweep]), sample_rate=RATE), whole, rtol=1e-4, atol=1e-6
    )


def test_warm_up_compiles_every_kernel() -> None:
    features.warm_up()
    compiled = {name: loop for name, loop in vars(kernels).items() if hasattr(loop, "signatures")}
    before = {name: len(loop.signatures) for name, loop in compiled.items()}
    assert len(before) > 8
    for rate in (8_000, 44_100, 192_000):
        features.extract_features(in_blocks(noise(1.3, rate), 10_007), sample_rate=rate)
    assert {name: len(loop.signatures) for name, loop in compiled.items()} == before


def real_clip(name: str) -> tuple[np.ndarray, int]:
    path = DATA / name
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip(f"no {path}")
    with soundfile.SoundFile(path) as file:
        return file.read(30 * file.samplerate, dtype="float32", always_2d=True).mean(axis=1), file.samplerate


def librosa_features(y: np.ndarray, sr: int) -> np.ndarray:
    """Plain librosa calls with the parameters of mdeff/fma's features.py, at the clip's own sample rate."""

    def constant_q() -> np.ndarray:
        return np.abs(librosa.cqt(y, sr=sr, hop_length=512, bins_per_octave=12, n_bins=84, tuning=None))

    def cens() -> np.ndarray:
        return librosa.feature.chroma_cens(C=constant_q(), bins_per_octave=12)

    rows = {
        "chroma_cens": cens(),
        "chroma_cqt": librosa.feature.chroma_cqt(C=constant_q(), bins_per_octave=12),
        "chroma_stft": librosa.feature.chroma_stft(y=y, sr=sr),
        "mfcc": librosa.feature.mfcc(y=y, sr=sr, n_mfcc=20),
        "rmse": librosa.feature.rms(S=np.abs(librosa.stft(y))),
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(y=y, sr=sr),
        "spectral_centroid": librosa.feature.spectral_centroid(y=y, sr=sr),
        "spectral_contrast": librosa.feature.spectral_contrast(y=y, sr=sr),
        "spectral_rolloff": librosa.feature.spectral_rolloff(y=y, sr=sr),
        # The script's variable holds chroma_cens at that line.
        "tonnetz": librosa.feature.tonnetz(chroma=cens()),
        "zcr": librosa.feature.zero_crossing_rate(y),
    }
    statistics = {
        "kurtosis": scipy.stats.kurtosis,
        "max": np.max,
        "mean": np.mean,
        "median": np.median,
        "min": np.min,
        "skew": scipy.stats.skew,
        "std": np.std,
    }
    by_column = {
        f"{feature}_{name}_{number:02d}": value
        for feature, values in rows.items()
        for name, statistic in statistics.items()
        for number, value in enumerate(statistic(values.astype(np.float64), axis=1), start=1)
    }
    return np.array([by_column[column] for column in FMA_COLUMNS])


@pytest.mark.slow
def test_every_column_agrees_with_librosa() -> None:
    clips = [real_clip(name) for name in CLIPS]
    ours = np.array(
        [features.extract_features(in_blocks(signal, 65_536), sample_rate=rate) for signal, rate in clips]
    )
    reference = np.array([librosa_features(signal, rate) for signal, rate in clips])
    spread = reference.std(axis=0)
    assert (spread > 0).mean() > 0.95
    deviation = np.abs(ours[:, : len(FMA_COLUMNS)] - reference) / np.where(spread > 0, spread, 1)
    worst = {FMA_COLUMNS[i]: f"{deviation[:, i].max():.1e}" for i in np.argsort(-deviation.max(axis=0))[:5]}
    assert deviation.max() < 1e-3, worst
    assert np.median(deviation) < 1e-5, worst
