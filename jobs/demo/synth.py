"""Instruments: from a MIDI note and a length to samples.

Conventions: pitch as a MIDI number (69 is A4, 440 Hz; fractions allowed), lengths in seconds, samples
float32, mono, shape (n,), -1 to 1, at SAMPLE_RATE. `tone` is a player's character, 0 (dark, soft) to 1
(bright). Every function is pure. Notes are cached because a song repeats them, and their arrays are therefore
read-only.
"""

from collections.abc import Callable
from functools import lru_cache, wraps

import numpy as np
from scipy import signal

SAMPLE_RATE = 44_100

# Samples of one stored cycle: enough to take the nearest one (error 78 dB below the note) without
# interpolation.
_CYCLE_SAMPLES = 2**14

# Hertz above which no partial is synthesized: it would alias to a tone that is out of tune.
_MAX_PARTIAL_HZ = 16_000.0


def midi_to_hz(midi: float) -> float:
    """Return the frequency in hertz of a MIDI note, equal temperament, A4 = 440 Hz."""
    return 440.0 * 2.0 ** ((midi - 69) / 12)


def seconds(count: int) -> np.ndarray:
    """Return the times of `count` samples in seconds, shape (count,), float64."""
    return np.arange(count) / SAMPLE_RATE


def adsr(count: int, attack: float, decay: float, sustain: float, release: float) -> np.ndarray:
    """Return an envelope of `count` samples, 0 to 1, shape (count,); times in seconds, `sustain` a level.

    The release ends with the last sample. If the note is too short for its envelope, all times shrink in
    proportion.
    """
    total = count / SAMPLE_RATE
    scale = min(1.0, total / (attack + decay + release))
    points = [0.0, attack * scale, (attack + decay) * scale, total - release * scale, total]
    return np.interp(seconds(count), points, [0.0, 1.0, sustain, sustain, 0.0]).astype(np.float32)


def decay(count: int, half_life: float) -> np.ndarray:
    """Return an exponential decay from 1 that halves every `half_life` seconds, shape (count,)."""
    return np.exp2(-seconds(count) / half_life).astype(np.float32)


@lru_cache(maxsize=512)
def _cycle(shape: str, partials: int) -> np.ndarray:
    """Return one cycle of a sum of sines, peak 1, shape (_CYCLE_SAMPLES,)."""
    h = np.arange(1, partials + 1)
    levels = {
        "sine": (h == 1) * 1.0,
        "triangle": (h % 2) * (-1.0) ** (h // 2) / h**2,
        "square": (h % 2) / h,
        "pulse": np.sin(np.pi * h / 4) / h,  # a duty cycle of one quarter: the thin voice of old consoles
        "saw": 1.0 / h,
        "reed": np.where(h % 2, 1.0, 0.35) / h**1.4,
        "organ": np.isin(h, (1, 2, 3, 4, 6, 8)) / np.sqrt(h),
    }[shape]
    spectrum = np.zeros(_CYCLE_SAMPLES // 2 + 1, dtype=complex)
    spectrum[1 : partials + 1] = -0.5j * _CYCLE_SAMPLES * levels
    cycle = np.fft.irfft(spectrum)
    return (cycle / np.abs(cycle).max()).astype(np.float32)


def wave(shape: str, frequency: float | np.ndarray, count: int, *, partials: int = 40) -> np.ndarray:
    """Return `count` samples of a band-limited wave, peak 1, shape (count,).

    `shape` is sine, triangle, square, pulse, saw, reed or organ; `frequency` in hertz, one number or one per
    sample; `partials` limits the number of harmonics: the fewer, the duller.
    """
    top = float(np.max(frequency))
    cycle = _cycle(shape, max(1, min(partials, int(_MAX_PARTIAL_HZ / top))))
    turns = np.cumsum(np.broadcast_to(frequency, count)) / SAMPLE_RATE - frequency / SAMPLE_RATE
    return cycle[(turns * _CYCLE_SAMPLES).astype(np.int64) & (_CYCLE_SAMPLES - 1)]


def note(play: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Cache an instrument's notes; lengths are rounded to milliseconds, so that more notes are equal."""

    @lru_cache(maxsize=32)
    def cached(midi: float, milliseconds: int, tone: float) -> np.ndarray:
        sound = np.asarray(play(midi, milliseconds / 1000, tone), dtype=np.float32)
        sound.flags.writeable = False
        return sound

    @wraps(play)
    def played(midi: float, length: float, tone: float = 0.5) -> np.ndarray:
        return cached(midi, max(20, round(length * 1000)), tone)

    return played


def _count(length: float, release: float = 0.0) -> int:
    return round((length + release) * SAMPLE_RATE)


def _vibrato(midi: float, count: int, *, depth: float, rate: float = 5.2, delay: float = 0.25) -> np.ndarray:
    """Return the frequency per sample in hertz, with a vibrato of `depth` semitones after `delay` seconds."""
    t = seconds(count)
    return midi_to_hz(midi) * np.exp2(
        depth / 12 * np.clip((t - delay) * 4, 0, 1) * np.sin(2 * np.pi * rate * t)
    )


@note
def pad(midi: float, length: float, tone: float) -> np.ndarray:
    """A slow string machine: three saws a few cents apart, without their upper partials."""
    n = _count(length, 1.4)
    partials = 4 + round(8 * tone)
    voices = [wave("saw", midi_to_hz(midi + cents / 100), n, partials=partials) for cents in (-7, 1, 8)]
    return sum(voices) / 3 * adsr(n, 0.9, 0.5, 0.8, 1.5)


@note
def bell(midi: float, length: float, tone: float) -> np.ndarray:
    """A soft glass bell: frequency modulation at an uneven ratio, ringing well past its length."""
    n = _count(length, 2.0)
    t, f = seconds(n), midi_to_hz(midi)
    index = (0.8 + 1.6 * tone) * decay(n, 0.35)
    return (
        np.sin(2 * np.pi * f * t + index * np.sin(2 * np.pi * 3.5 * f * t))
        * decay(n, 0.5)
        * adsr(n, 0.004, 0, 1, 0.3)
    )


@note
def chip(midi: float, length: float, tone: float) -> np.ndarray:
    """A console's pulse voice: hard attack, stepped decay, vibrato on long notes."""
    n = _count(length)
    shape = "pulse" if tone > 0.4 else "square"
    steps = (
        np.round(15 * adsr(n, 0.002, 0.12, 0.6, 0.03)) / 15
    )  # four bits of volume, as in the real consoles
    return 0.8 * wave(shape, _vibrato(midi, n, depth=0.25, rate=7), n, partials=60) * steps


@note
def electric_piano(midi: float, length: float, tone: float) -> np.ndarray:
    """A tine piano: FM at the note itself for the body, at fourteen times it for the hammer."""
    n = _count(length, 0.25)
    t, f = seconds(n), 2 * np.pi * midi_to_hz(midi)
    body = np.sin(f * t + (0.5 + 1.2 * tone) * decay(n, 0.3) * np.sin(f * t))
    tine = 0.14 * np.sin(14 * f * t) * decay(n, 0.04) if midi_to_hz(midi) * 14 < _MAX_PARTIAL_HZ else 0.0
    return (0.85 * body + tine) * decay(n, 0.6) * adsr(n, 0.004, 0.05, 0.9, 0.2)


@note
def stab(midi: float, length: float, tone: float) -> np.ndarray:
    """A house chord voice: two saws whose upper partials close within a tenth of a second."""
    n = _count(length, 0.12)
    bright = wave("saw", midi_to_hz(midi + 0.06), n, partials=16 + round(16 * tone))
    dull = wave("saw", midi_to_hz(midi - 0.06), n, partials=4)
    return (0.6 * bright * decay(n, 0.09) + 0.4 * dull) * adsr(n, 0.004, 0.2, 0.5, 0.12)


@note
def synth_bass(midi: float, length: float, tone: float) -> np.ndarray:
    """An analogue bass: a bright saw that falls to its lowest partials, over its two lowest partials."""
    n = _count(length, 0.03)
    f = midi_to_hz(midi)
    bright = wave("saw", f, n, partials=10 + round(20 * tone)) * decay(n, 0.07)
    return (0.45 * bright + 0.55 * wave("saw", f, n, partials=2)) * adsr(n, 0.003, 0.15, 0.7, 0.04)


@note
def reese(midi: float, length: float, tone: float) -> np.ndarray:
    """A drum'n'bass bass: saws beating against each other over a clean sine."""
    n = _count(length, 0.05)
    beating = wave("saw", midi_to_hz(midi + 0.18), n, partials=14) - wave(
        "saw", midi_to_hz(midi - 0.18), n, partials=14
    )
    sweep = 0.65 + 0.35 * np.sin(2 * np.pi * (0.5 + tone) * seconds(n))
    return (0.38 * beating * sweep + 0.5 * wave("sine", midi_to_hz(midi), n)) * adsr(n, 0.01, 0.1, 0.9, 0.06)


@note
def deep_bass(midi: float, length: float, tone: float) -> np.ndarray:
    """A dub bass: nearly a sine, more felt than audible."""
    n = _count(length, 0.04)
    return wave("triangle", midi_to_hz(midi), n, partials=3 + round(2 * tone)) * adsr(
        n, 0.012, 0.2, 0.8, 0.06
    )


@note
def skank(midi: float, length: float, tone: float) -> np.ndarray:
    """An off-beat organ: all drawbars, cut short."""
    n = _count(length, 0.04)
    return wave("organ", midi_to_hz(midi), n, partials=8) * adsr(n, 0.003, 0.06, 0.5 + 0.3 * tone, 0.04)


@note
def pluck(midi: float, length: float, tone: float) -> np.ndarray:
    """A plucked string by Karplus and Strong (1983): a burst of noise circulates in a delay line that
    averages it.

    `tone` is the plectrum's hardness. Resampling tunes the string, because the line has a whole number of
    samples.
    """
    n = _count(length, 0.5)
    period = max(8, int(SAMPLE_RATE / midi_to_hz(midi)) - 1)
    line = np.random.default_rng(round(midi * 64)).uniform(-1, 1, period)
    for _ in range(3 - round(2 * tone)):  # a softer plectrum: noise with its high frequencies averaged away
        line = (line + np.roll(line, 1)) / 2
    line -= line.mean()
    damping = 0.5 * 0.9985 ** (440 / midi_to_hz(midi)) * 0.9995
    rounds = []
    for _ in range(n // period + 3):
        rounds.append(line)
        before = np.concatenate((line[-1:], line[:-1]))
        line = damping * (line + before)
    string = np.concatenate(rounds)
    step = midi_to_hz(midi) * (period + 0.5) / SAMPLE_RATE  # averaging two neighbours delays by half a sample
    sound = np.interp(np.arange(n) * step, np.arange(len(string)), string)
    return sound / np.abs(sound).max() * adsr(n, 0.001, 0, 1, 0.45)


@note
def upright(midi: float, length: float, tone: float) -> np.ndarray:
    """A plucked double bass: the string, its body's low-pass, and the finger's thump."""
    string = pluck(midi, length + 0.25, 0.0)
    n = len(string)
    body = signal.sosfilt(signal.butter(2, 500 + 700 * tone, fs=SAMPLE_RATE, output="sos"), string)
    thump = 0.25 * np.sin(2 * np.pi * 70 * seconds(n)) * decay(n, 0.02)
    return body / np.abs(body).max() * 0.8 * adsr(n, 0.002, 0.1, 0.8, 0.2) + thump


@note
def reed(midi: float, length: float, tone: float) -> np.ndarray:
    """A kind of saxophone: a reed's partials, a scoop into the note, breath, late vibrato."""
    n = _count(length, 0.05)
    f = _vibrato(midi, n, depth=0.22, delay=0.2) * np.exp2(-0.6 / 12 * decay(n, 0.02))
    swell = adsr(n, 0.035, 0.1, 0.8, 0.07)
    breath = np.random.default_rng(7).standard_normal(n) * 0.012
    dull = wave("reed", f, n, partials=5)
    bright = wave("reed", f, n, partials=14 + round(10 * tone))
    return 0.8 * swell * (dull * (1 - 0.6 * swell) + bright * 0.6 * swell + breath)


@note
def brass(midi: float, length: float, tone: float) -> np.ndarray:
    """A horn: the louder the brighter, by which the ear recognizes brass."""
    n = _count(length, 0.06)
    f = _vibrato(midi, n, depth=0.12, delay=0.35) * np.exp2(-0.35 / 12 * decay(n, 0.015))
    swell = adsr(n, 0.045, 0.09, 0.72, 0.08)
    dull = wave("saw", f, n, partials=4)
    bright = wave("saw", f, n, partials=12 + round(12 * tone))
    return 0.8 * swell * (dull * (1 - swell) + bright * swell)
