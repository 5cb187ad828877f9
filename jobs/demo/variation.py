"""How a piece departs from its style, so that genres overlap: its band, its tempo, its recording, its file.

The first clips of the demo library are plain: eight styles that any feature separates. From clip
PLAIN_CLIPS on, each piece borrows tempo and instruments from a neighbouring style, some change into the
neighbour's style halfway, and every album has a recording of its own: room, echo, filters, noise, loudness,
sample rate, mono or stereo.

Conventions: samples are float32, shape (2, n), at SAMPLE_RATE; frequencies in hertz, levels in decibels.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from jobs.demo.band import PLAIN, Band, exchange
from jobs.demo.mixing import echo, high_pass, master, reverb
from jobs.demo.styles import STYLES
from jobs.demo.synth import SAMPLE_RATE

# Clips without variation: the default library.
PLAIN_CLIPS = 60

# The styles in a ring, each beside the two that it borrows from, with their usual tempo in beats per minute.
_TEMPOS = {
    "ambient": 64,
    "dub": 133,
    "house": 123,
    "drum_and_bass": 173,
    "chiptune": 151,
    "march": 114,
    "swing": 153,
    "waltz": 153,
}

# Probabilities: of each role to be played by the neighbour's instrument, of a piece between two styles.
_EXCHANGED = 0.45
_MEDLEY = 0.15
# Factors of the tempo; with a slower one a piece would last longer than 30 s.
_MIN_TEMPO = 0.8
_MAX_TEMPO = 1.25
# Length of the crossfade between two styles, in seconds.
_CROSSFADE_S = 2.0

_SAMPLE_RATES = (22_050, 44_100, 44_100, 48_000)


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A piece's departure from its style: `neighbour` is the style of its second half, or None."""

    band: Band = PLAIN
    neighbour: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What an album's pieces have in common: effects, loudness, and the properties of their files.

    Attributes
    ----------
    room_s, room_gain
        Decay of the reverb in seconds, and its gain; no reverb at gain 0.
    echo_s
        Seconds between echoes, 0 for none.
    low_hz, high_hz
        Frequencies below and above which the sound is attenuated, by 12 dB per octave.
    noise_db, gain_db
        Level of the noise, and gain of the finished piece.
    sample_rate, channels
        Of the file.
    """

    room_s: float = 0.0
    room_gain: float = 0.0
    echo_s: float = 0.0
    low_hz: float = 0.0
    high_hz: float = SAMPLE_RATE / 2
    noise_db: float = -np.inf
    gain_db: float = 0.0
    sample_rate: int = SAMPLE_RATE
    channels: int = 2


PLAIN_RECORDING = Recording()


def draw_variation(rng: np.random.Generator, style: str) -> Variation:
    """Return a piece's variation: tempo and instruments on the way to one of the two neighbours."""
    ring = list(_TEMPOS)
    neighbour = ring[(ring.index(style) + int(rng.choice([-1, 1]))) % len(ring)]
    way = rng.uniform(0, 0.7)
    tempo = float(np.clip((_TEMPOS[neighbour] / _TEMPOS[style]) ** way, _MIN_TEMPO, _MAX_TEMPO))
    band = exchange(rng, style, neighbour, tempo=tempo, probability=_EXCHANGED)
    return Variation(band=band, neighbour=neighbour if rng.random() < _MEDLEY else None)


def draw_recording(rng: np.random.Generator) -> Recording:
    """Return an album's recording."""
    return Recording(
        room_s=rng.uniform(0.4, 3.0),
        room_gain=rng.uniform(0.2, 1.0) * (rng.random() < 0.5),
        echo_s=rng.uniform(0.15, 0.45) * (rng.random() < 0.3),
        low_hz=rng.uniform(100, 400) * (rng.random() < 0.3),
        high_hz=float(np.exp(rng.uniform(np.log(1_800), np.log(16_000)))),
        noise_db=rng.uniform(-60, -34),
        gain_db=rng.uniform(-15, 0),
        sample_rate=int(rng.choice(_SAMPLE_RATES)),
        channels=int(rng.choice([1, 2, 2])),
    )


def perform(style: str, seed: int, tone: float, variation: Variation, recording: Recording) -> np.ndarray:
    """Return the finished clip, float32 (2, n) at SAMPLE_RATE."""
    piece = STYLES[style].play(np.random.default_rng(seed), tone, variation.band)
    if variation.neighbour is not None:
        second = STYLES[variation.neighbour].play(np.random.default_rng(seed), tone, variation.band)
        piece = _crossfade(piece, second)
    return piece if recording == PLAIN_RECORDING else _record(piece, seed, recording)


def _crossfade(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the first half of one clip and the second half of another, with equal power between them."""
    n_fade = round(_CROSSFADE_S * SAMPLE_RATE)
    start = min(first.shape[1], second.shape[1]) // 2
    rising = np.sin(np.linspace(0, np.pi / 2, n_fade, dtype=np.float32))
    middle = first[:, start : start + n_fade] * rising[::-1] + second[:, start : start + n_fade] * rising
    return np.hstack([first[:, :start], middle, second[:, start + n_fade :]])


def _record(piece: np.ndarray, seed: int, recording: Recording) -> np.ndarray:
    """Return a clip with the effects, noise and loudness of its recording."""
    if recording.echo_s:
        piece = echo(piece, delay=recording.echo_s, feedback=0.45, amount=0.4)
    if recording.room_gain:
        piece = reverb(piece, length=round(recording.room_s, 1), amount=recording.room_gain)
    if recording.low_hz:
        piece = high_pass(piece, recording.low_hz)
    sos = signal.butter(2, min(recording.high_hz, 0.45 * SAMPLE_RATE), fs=SAMPLE_RATE, output="sos")
    piece = signal.sosfilt(sos, piece)
    noise = np.random.default_rng(seed + 1).standard_normal(piece.shape) * 10 ** (recording.noise_db / 20)
    # Mastered again: with noise and reverb the level has changed.
    return (master(piece + noise, fade_out=1.0) * 10 ** (recording.gain_db / 20)).astype(np.float32)
