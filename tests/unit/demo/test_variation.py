"""Variation of the demo library: none in the default one; overlapping genres and mixed files beyond it."""

from collections import Counter

import mutagen
import numpy as np
import pytest

from jobs.commands import demo
from jobs.demo.band import PLAIN, exchange
from jobs.demo.clips import Clip, clip
from jobs.demo.synth import SAMPLE_RATE
from jobs.demo.variation import (
    PLAIN_CLIPS,
    PLAIN_RECORDING,
    Recording,
    Variation,
    draw_variation,
    perform,
)

LARGE = [clip(number) for number in range(PLAIN_CLIPS, 240)]


def piece(style: str = "chiptune", variation: Variation | None = None, **recording: float) -> np.ndarray:
    return perform(style, 1, 0.5, variation or Variation(), Recording(**recording))


def level_db(samples: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples**2))))


def test_default_library_is_plain() -> None:
    plain = [clip(number) for number in range(PLAIN_CLIPS)]
    assert all(entry.variation == Variation() and entry.recording == PLAIN_RECORDING for entry in plain)
    assert sum(entry.variation.band == PLAIN for entry in LARGE) < 10  # two neighbours have one tempo


def test_larger_library_is_mixed() -> None:
    assert Counter(clip(number).style for number in range(240)) == dict.fromkeys(
        {entry.style for entry in LARGE}, 30
    )
    assert {entry.path.suffix for entry in LARGE} == {".mp3", ".ogg", ".opus", ".m4a", ".flac", ".wav"}
    assert {entry.recording.sample_rate for entry in LARGE} == {22_050, 44_100, 48_000}
    assert {entry.recording.channels for entry in LARGE} == {1, 2}
    between = sum(entry.variation.neighbour is not None for entry in LARGE)
    assert 15 <= between <= 40
    gains = [entry.recording.gain_db for entry in LARGE]
    assert max(gains) - min(gains) > 12


def test_clip_does_not_depend_on_the_number_of_clips() -> None:
    assert clip(200) == clip(200)
    assert clip(200).variation != clip(208).variation


def test_album_has_one_recording() -> None:
    recordings: dict[tuple[str, str], set[Recording]] = {}
    for entry in LARGE:
        recordings.setdefault((entry.album.artist, entry.album.title), set()).add(entry.recording)
    assert all(len(album_recordings) == 1 for album_recordings in recordings.values())
    assert len(set.union(*recordings.values())) == len(recordings)


def test_roles_go_to_the_neighbours_instruments() -> None:
    rng = np.random.default_rng(0)
    band = exchange(rng, "swing", "march", tempo=0.9, probability=1.0)
    assert (band.electric_piano, band.reed, band.upright) == (PLAIN.brass,) * 3
    assert band.tempo == 0.9
    assert exchange(rng, "swing", "march", tempo=1.0, probability=0.0) == PLAIN


def test_tempo_moves_towards_the_neighbour() -> None:
    rng = np.random.default_rng(0)
    tempos = [draw_variation(rng, "drum_and_bass").band.tempo for _ in range(50)]
    assert max(tempos) <= 1 and 0.8 <= min(tempos) < 0.85  # both neighbours are slower
    slow = Variation(band=exchange(rng, "march", "swing", tempo=0.8, probability=0.0))
    beats = 32 * 60 / 114  # at the usual tempo
    lengths = [piece("march", variation).shape[1] / SAMPLE_RATE for variation in (Variation(), slow)]
    assert lengths[1] - lengths[0] == pytest.approx(beats / 0.8 - beats, rel=0.08)


def test_piece_between_two_styles_ends_in_the_neighbours() -> None:
    plain, second = piece("chiptune"), piece("waltz")
    both = piece("chiptune", Variation(neighbour="waltz"))
    n_first = min(plain.shape[1], second.shape[1]) // 2
    assert np.array_equal(both[:, :n_first], plain[:, :n_first])
    assert np.array_equal(both[:, -SAMPLE_RATE:], second[:, -SAMPLE_RATE:])


def test_recording_changes_loudness_noise_and_brightness() -> None:
    loud, quiet = piece(gain_db=0.0, high_hz=16_000.0), piece(gain_db=-12.0, high_hz=16_000.0)
    assert level_db(loud) - level_db(quiet) == pytest.approx(12, abs=0.01)
    assert level_db(loud) == pytest.approx(level_db(piece()), abs=1.5)  # mastered again
    spectra = [np.abs(np.fft.rfft(piece(high_hz=hz)[0, : 8 * SAMPLE_RATE])) for hz in (2_000.0, 16_000.0)]
    above = [spectrum[8 * 8_000 :].sum() / spectrum.sum() for spectrum in spectra]
    assert above[0] < 0.25 * above[1]
    noisy, clean = (piece("ambient", noise_db=db)[:, 500:2000] for db in (-34.0, -60.0))  # before it fades in
    assert level_db(noisy) - level_db(clean) > 15


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".opus", ".m4a", ".flac", ".wav"])
def test_file_has_the_recordings_rate_and_channels(suffix: str, tmp_path) -> None:
    """Each format with the recording that is furthest from the synthesizer's: low rates and one channel."""

    def distance(entry: Clip) -> tuple[int, int]:
        return entry.recording.channels, entry.recording.sample_rate

    entry = min((entry for entry in LARGE if entry.path.suffix == suffix), key=distance)
    first = demo.write_clip(tmp_path, entry)
    info = mutagen.File(tmp_path / entry.path).info
    if suffix != ".opus":  # whose rate is always 48,000 Hz
        assert info.sample_rate == entry.recording.sample_rate
    assert info.channels == entry.recording.channels
    assert demo.write_clip(tmp_path, entry) == first
