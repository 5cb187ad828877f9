"""Mixing: sounds on a timeline of beats, reverb and echo, and mastering to one loudness.

Conventions: stereo is float32, shape (2, n), left first; gains are factors; `pan` runs from -1 (left) to 1
(right).
"""

from collections import defaultdict
from functools import lru_cache

import numpy as np
from scipy import signal

from jobs.demo.synth import SAMPLE_RATE

# Loudness of a finished clip: -17 dBFS, see `loudness`.
LOUDNESS = 0.14
# Highest peak of a finished clip: -1 dBFS, because lossy encoders overshoot by about as much.
PEAK = 0.89

# Gain of each letter of a drum pattern.
_STROKES = {"X": 1.0, "x": 0.7, "o": 0.35}


class Timeline:
    """A timeline in beats with named buses, each a stereo array as long as the piece.

    `swing` is the position of the second eighth within a beat: 0.5 is straight, 0.66 swings. `tail` is the
    time after the last beat in seconds, in which sounds ring out.
    """

    def __init__(self, bpm: float, beats: float, *, swing: float = 0.5, tail: float = 1.5) -> None:
        self.beat_s = 60 / bpm
        self.beats = beats
        self.swing = swing
        self.samples = round((beats * self.beat_s + tail) * SAMPLE_RATE)
        self.buses: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((2, self.samples), np.float32))

    def __getitem__(self, bus: str) -> np.ndarray:
        return self.buses[bus]

    def sample_of_beat(self, beat: float) -> int:
        """Return the sample number of a beat, with swing."""
        whole, part = divmod(beat, 1)
        swung = part * 2 * self.swing if part < 0.5 else self.swing + (part - 0.5) * 2 * (1 - self.swing)
        return round((whole + swung) * self.beat_s * SAMPLE_RATE)

    def add(self, bus: str, sound: np.ndarray, beat: float, gain: float = 1.0, pan: float = 0.0) -> None:
        """Mix a mono sound into a bus from `beat` on, with equal-power panning, cut at the timeline's end."""
        start = self.sample_of_beat(beat)
        sound = sound[: max(0, self.samples - start)]
        angle = (pan + 1) * np.pi / 4
        bus_samples = self.buses[bus][:, start : start + len(sound)]
        bus_samples[0] += np.float32(gain * np.cos(angle)) * sound
        bus_samples[1] += np.float32(gain * np.sin(angle)) * sound

    def pattern(
        self, bus: str, sound: np.ndarray, steps: str, gain: float, *, pan: float = 0.0, step: float = 0.25
    ) -> None:
        """Repeat a drum pattern to the end of the timeline.

        In `steps` X is accented, x is normal, o is a ghost note, anything else a rest; `step` is the length
        of a letter in beats.
        """
        for position in range(round(self.beats / step)):
            level = _STROKES.get(steps[position % len(steps)])
            if level:
                self.add(bus, sound, position * step, gain * level, pan)


@lru_cache(maxsize=16)
def _room(length: float, high: float) -> np.ndarray:
    """Return the impulse response of a room, filtered noise of energy 1: -60 dB after `length` seconds."""
    n = round(length * SAMPLE_RATE)
    noise = np.random.default_rng(1).standard_normal((2, n)) * 10 ** (-3 * np.arange(n) / n)
    noise[:, : round(0.012 * SAMPLE_RATE)] = 0  # the walls are four metres away
    dark = signal.sosfilt(signal.butter(1, (180, high), "bandpass", fs=SAMPLE_RATE, output="sos"), noise)
    return (dark / np.sqrt((dark**2).sum(axis=1, keepdims=True))).astype(np.float32)


def reverb(stereo: np.ndarray, *, length: float, amount: float, high: float = 5000.0) -> np.ndarray:
    """Return the sound with reverb.

    `length` is the decay in seconds, `amount` the gain of the wet signal, which is damped above `high` hertz.
    """
    wet = signal.oaconvolve(stereo, _room(length, high), axes=1)[:, : stereo.shape[1]]
    return (stereo + amount * wet).astype(np.float32)


def echo(stereo: np.ndarray, *, delay: float, feedback: float, amount: float) -> np.ndarray:
    """Return the sound with echoes every `delay` seconds.

    Each is `feedback` times as loud as the one before, darker, and on the other side.
    """
    step = round(delay * SAMPLE_RATE)
    result, repeat = stereo.copy(), stereo
    for count in range(1, 1 + int(np.log(0.08) / np.log(feedback))):  # until a repeat is 22 dB down
        repeat = low_pass(feedback * repeat[::-1], 2800)
        result[:, count * step :] += amount / feedback * repeat[:, : max(0, stereo.shape[1] - count * step)]
    return result


def low_pass(stereo: np.ndarray, high: float) -> np.ndarray:
    """Return the sound low-passed at `high` hertz, 6 dB per octave."""
    # The offset is inaudible; without it silence decays into denormal numbers, which make a filter ten times
    # slower.
    return signal.lfilter(*signal.butter(1, high, fs=SAMPLE_RATE), stereo.astype(np.float64) + 1e-18)


def high_pass(stereo: np.ndarray, low: float) -> np.ndarray:
    """Return the sound high-passed at `low` hertz, 12 dB per octave."""
    return signal.sosfilt(signal.butter(2, low, "highpass", fs=SAMPLE_RATE, output="sos"), stereo)


def duck(stereo: np.ndarray, beat_s: float, depth: float) -> np.ndarray:
    """Return the sound attenuated by `depth` (0 to 1) on every beat, as a kick drum's side chain does."""
    phase = np.arange(stereo.shape[1]) / SAMPLE_RATE / beat_s % 1
    return stereo * (1 - depth * np.clip(1 - phase / 0.6, 0, 1) ** 1.5).astype(np.float32)


def loudness(stereo: np.ndarray) -> float:
    """Return the root mean square, with bass (below 120 Hz) at 0.4, because the ear gives it less weight."""
    return float(np.sqrt(0.6 * np.mean(high_pass(stereo, 120) ** 2) + 0.4 * np.mean(stereo**2)))


def master(stereo: np.ndarray, *, fade_in: float = 0.01, fade_out: float = 1.5) -> np.ndarray:
    """Return the finished clip: at LOUDNESS, soft-clipped below PEAK, with fades in seconds."""
    mix = high_pass(stereo, 30).astype(np.float32)
    mix = mix * (LOUDNESS / max(1e-9, loudness(mix)))
    mix = PEAK * np.tanh(mix / PEAK)
    rising, falling = (np.linspace(0, np.pi / 2, round(fade * SAMPLE_RATE)) for fade in (fade_in, fade_out))
    mix[:, : len(rising)] *= np.sin(rising)
    mix[:, -len(falling) :] *= np.cos(falling) ** 2
    return mix.astype(np.float32)
