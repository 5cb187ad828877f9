"""Instruments, drums, harmony and mixing: notes whose pitch, envelope, tempo and level are known."""

import numpy as np
import pytest
from scipy import signal

from jobs.demo import drums, mixing, synth, theory
from jobs.demo.styles import STYLES

RATE = synth.SAMPLE_RATE


def strongest_hz(sound: np.ndarray, low: float, high: float) -> float:
    """The frequency of the spectrum's peak between two frequencies, to a tenth of a hertz."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 10 * RATE))
    band = np.arange(round(low * 10), round(high * 10))
    return float(band[np.argmax(spectrum[band])] / 10)


TUNED = [
    "pad",
    "bell",
    "chip",
    "electric_piano",
    "stab",
    "synth_bass",
    "deep_bass",
    "skank",
    "pluck",
    "reed",
    "brass",
]


@pytest.mark.parametrize("name", TUNED)
def test_a4_sounds_at_440_hz(name: str) -> None:
    a4 = getattr(synth, name)(69, 1.0, 0.5)
    assert strongest_hz(a4, 380, 500) == pytest.approx(
        440, abs=2.5
    )  # ten cents: vibrato and beating voices move it


def test_plucked_strings_are_in_tune_over_four_octaves() -> None:
    for midi in (40, 52, 64, 76, 88):
        f = synth.midi_to_hz(midi)
        assert strongest_hz(synth.pluck(midi, 1.5, 0.5), f * 0.94, f * 1.06) == pytest.approx(f, rel=0.003)


def test_wave_has_only_its_partials() -> None:
    spectrum = np.abs(np.fft.rfft(synth.wave("square", 1000.0, RATE))) / RATE * 2
    assert spectrum[3000] / spectrum[1000] == pytest.approx(1 / 3, rel=0.01)
    assert spectrum[2000] < 1e-3
    assert spectrum[16_001:].max() < 1e-3  # no aliasing


def test_adsr_shape() -> None:
    envelope = synth.adsr(RATE, 0.1, 0.2, 0.5, 0.3)
    levels = {t: envelope[round(t * RATE)] for t in (0.0, 0.05, 0.1, 0.3, 0.6, 0.85)}
    assert levels == pytest.approx({0.0: 0, 0.05: 0.5, 0.1: 1, 0.3: 0.5, 0.6: 0.5, 0.85: 0.25}, abs=1e-3)
    assert envelope[-1] < 1e-3


def test_adsr_shrinks_to_a_short_note() -> None:
    envelope = synth.adsr(441, 0.1, 0.2, 0.5, 0.3)
    assert len(envelope) == 441
    assert envelope.max() == pytest.approx(1, abs=0.02)
    assert envelope[0] == 0 and envelope[-1] < 0.01


def test_pattern_keeps_the_tempo() -> None:
    stage = mixing.Timeline(120, 16)
    stage.pattern("drums", drums.rim(0.5), "x...", 1.0)
    level = np.abs(stage["drums"]).sum(axis=0)
    onsets, _ = signal.find_peaks(level, height=level.max() / 2, distance=RATE // 10)
    assert len(onsets) == 16
    assert np.diff(onsets) / RATE == pytest.approx(np.full(15, 0.5), abs=0.001)


def test_swing_delays_the_second_eighth() -> None:
    stage = mixing.Timeline(60, 4, swing=2 / 3)
    times = [stage.sample_of_beat(beat) / RATE for beat in (0, 0.25, 0.5, 0.75, 1, 1.5)]
    assert times == pytest.approx([0, 1 / 3, 2 / 3, 5 / 6, 1, 5 / 3], abs=1e-4)


def test_echo_repeats_on_the_other_side() -> None:
    click = np.zeros((2, RATE), np.float32)
    click[0, 0] = 1
    left, right = np.abs(mixing.echo(click, delay=0.25, feedback=0.5, amount=0.5))
    assert np.argmax(right) == pytest.approx(RATE // 4, abs=5)
    assert np.argmax(left[100:]) + 100 == pytest.approx(RATE // 2, abs=5)


def test_chords_and_melodies_stay_in_the_key() -> None:
    key = theory.Key(9, "minor")  # A minor: the white keys
    assert key.chord(0, 57) == [57, 60, 64]
    assert key.chord(4, 57) == [59, 64, 67]  # E minor, its fifth folded down
    tune = theory.melody(np.random.default_rng(3), key, (0, 3, 4, 0) * 2, [(1, 1, 1, 1), (2, 2), (1, 3)], 60)
    assert {note.midi % 12 for note in tune} <= {0, 2, 4, 5, 7, 9, 11}
    assert tune[-1].midi % 12 == 9 and tune[-1].beats == 3  # it ends on the tonic
    first, second = ([(n.beat % 8, n.beats) for n in tune if start <= n.beat < start + 4] for start in (0, 8))
    assert first == second  # the first bar's rhythm is repeated


@pytest.mark.parametrize("style", STYLES)
def test_style_plays_a_mastered_clip(style: str) -> None:
    clip = STYLES[style].play(np.random.default_rng(1), 0.5)
    assert clip.shape[0] == 2 and clip.dtype == np.float32
    assert 10 <= clip.shape[1] / RATE <= 30
    assert np.isfinite(clip).all()
    assert 0.3 < np.abs(clip).max() <= mixing.PEAK
    assert np.abs(clip[:, -20:]).max() < 1e-3  # faded out
    assert mixing.loudness(clip) == pytest.approx(mixing.LOUDNESS, rel=0.25)
    assert np.abs(clip[0] - clip[1]).max() > 0.01  # stereo


def test_clip_depends_only_on_the_seed() -> None:
    first, repeated, different = (
        STYLES["chiptune"].play(np.random.default_rng(seed), 0.5) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, repeated)
    assert not np.array_equal(first[:, :RATE], different[:, :RATE])
