"""Drums: each function returns one stroke, float32, mono, shape (n,), -1 to 1, at SAMPLE_RATE; cached,
read-only.

`tone` is a kit's character, 0 (dark, loose) to 1 (bright, tight).
"""

from collections.abc import Callable
from functools import lru_cache, wraps

import numpy as np
from scipy import signal

from jobs.demo.synth import SAMPLE_RATE, decay, seconds


def stroke(hit: Callable[[float], np.ndarray]) -> Callable[..., np.ndarray]:
    """Cache a drum's stroke, normalized to a peak of 1 and faded out, because a cut-off ring would click."""

    @lru_cache(maxsize=32)
    @wraps(hit)
    def cached(tone: float = 0.5) -> np.ndarray:
        sound = hit(tone)
        fade = min(len(sound), 400)
        sound[-fade:] *= np.linspace(1, 0, fade)
        sound = (sound / np.abs(sound).max()).astype(np.float32)
        sound.flags.writeable = False
        return sound

    return cached


def _noise(length: float, low: float, high: float, seed: int) -> np.ndarray:
    """Return noise between two frequencies in hertz, `length` seconds."""
    white = np.random.default_rng(seed).standard_normal(round(length * SAMPLE_RATE))
    return signal.sosfilt(signal.butter(2, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), white)


def _drop(length: float, start: float, end: float, half_life: float) -> np.ndarray:
    """Return a sine that falls from `start` to `end` hertz, `length` seconds: the skin of a drum."""
    n = round(length * SAMPLE_RATE)
    frequency = end + (start - end) * decay(n, half_life).astype(float)
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE)


def _metal(length: float, lowest: float) -> np.ndarray:
    """Return six square waves at the ratios of the TR-808's cymbals, above 6 kHz, `length` seconds."""
    t = seconds(round(length * SAMPLE_RATE))
    ring = sum(np.sign(np.sin(2 * np.pi * lowest * ratio * t)) for ratio in (1, 1.34, 1.47, 1.8, 2.17, 2.69))
    return signal.sosfilt(signal.butter(3, 6000, "highpass", fs=SAMPLE_RATE, output="sos"), ring)


@stroke
def kick(tone: float) -> np.ndarray:
    """A club kick: a deep drop with a click on top."""
    body = _drop(0.42, 160 + 90 * tone, 46, 0.018)
    click = _noise(0.42, 1500, 6000, 1) * decay(len(body), 0.003)
    return body * decay(len(body), 0.09) + 0.12 * (0.5 + tone) * click


@stroke
def bass_drum(tone: float) -> np.ndarray:
    """A bass drum on a strap: lower, softer, with felt instead of a click."""
    body = _drop(0.6, 95, 55 + 8 * tone, 0.03) * decay(round(0.6 * SAMPLE_RATE), 0.12)
    return body + 0.06 * _noise(0.6, 100, 700, 2) * decay(len(body), 0.03)


@stroke
def snare(tone: float) -> np.ndarray:
    """A snare: two modes of the skin under the rattle of the wires."""
    rattle = _noise(0.28, 1800, 9500, 3)
    skin = _drop(0.28, 260, 185 + 40 * tone, 0.02)
    return 0.7 * rattle * decay(len(rattle), 0.045) + 0.9 * skin * decay(len(skin), 0.035)


@stroke
def clap(tone: float) -> np.ndarray:
    """A clap: three short bursts of noise and the room after them."""
    bursts = _noise(0.3, 900, 4500 + 2500 * tone, 4)
    t = seconds(len(bursts))
    hands = sum(np.where(t >= start, np.exp2(-(t - start) / 0.005), 0) for start in (0.0, 0.011, 0.022))
    return bursts * (hands + 0.6 * np.where(t >= 0.025, np.exp2(-(t - 0.025) / 0.04), 0))


@stroke
def closed_hat(tone: float) -> np.ndarray:
    """A closed hi-hat."""
    ring = _metal(0.09, 420 + 160 * tone)
    return ring * decay(len(ring), 0.014)


@stroke
def open_hat(tone: float) -> np.ndarray:
    """An open hi-hat, cut after a third of a second."""
    ring = _metal(0.34, 420 + 160 * tone)
    return ring * decay(len(ring), 0.09)


@stroke
def ride(tone: float) -> np.ndarray:
    """A jazz ride: a ping and a long wash."""
    wash = _noise(0.9, 3500, 11000, 5)
    ping = _metal(0.9, 510 + 120 * tone)
    return 0.5 * wash * decay(len(wash), 0.13) / 2 + 0.7 * ping * decay(len(ping), 0.05)


@stroke
def brush(tone: float) -> np.ndarray:
    """A wire brush on a snare."""
    sweep = _noise(0.22, 1200, 6000 + 2000 * tone, 6)
    return sweep * np.sin(np.pi * np.linspace(0, 1, len(sweep)) ** 0.5) * decay(len(sweep), 0.07)


@stroke
def rim(tone: float) -> np.ndarray:
    """A stick on the rim: dry and woody."""
    t = seconds(round(0.09 * SAMPLE_RATE))
    wood = np.sin(2 * np.pi * (1550 + 200 * tone) * t) + 0.6 * np.sin(2 * np.pi * 480 * t)
    return wood * decay(len(t), 0.009)


@stroke
def crash(tone: float) -> np.ndarray:
    """A pair of marching cymbals."""
    wash = _noise(1.6, 2500, 13000, 8)
    return wash * decay(len(wash), 0.22 + 0.1 * tone)


@stroke
def chip_noise(tone: float) -> np.ndarray:
    """A console's noise channel: random bits held for a few samples each."""
    hold_samples = 3 + round(4 * (1 - tone))
    bits = np.random.default_rng(9).integers(0, 2, round(0.14 * SAMPLE_RATE) // hold_samples + 1) * 2.0 - 1
    sound = np.repeat(bits, hold_samples)
    return sound * decay(len(sound), 0.025)
