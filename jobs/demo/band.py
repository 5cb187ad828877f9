"""The band of a piece: the instrument that plays each part, and how fast.

A style asks its band for the instruments that it was written for. In the plain band each plays its own part;
in another one an instrument of a neighbouring style takes a part over, so that genres share instruments.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jobs.demo import drums, synth

# (MIDI note, length in seconds, tone) -> samples.
Instrument = Callable[..., np.ndarray]
# (tone) -> samples.
Drum = Callable[..., np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Band:
    """The instrument or drum that plays the part of each, and a factor of the style's tempo."""

    tempo: float = 1.0
    pad: Instrument = synth.pad
    bell: Instrument = synth.bell
    chip: Instrument = synth.chip
    electric_piano: Instrument = synth.electric_piano
    stab: Instrument = synth.stab
    synth_bass: Instrument = synth.synth_bass
    reese: Instrument = synth.reese
    deep_bass: Instrument = synth.deep_bass
    skank: Instrument = synth.skank
    pluck: Instrument = synth.pluck
    upright: Instrument = synth.upright
    reed: Instrument = synth.reed
    brass: Instrument = synth.brass
    kick: Drum = drums.kick
    bass_drum: Drum = drums.bass_drum
    snare: Drum = drums.snare
    clap: Drum = drums.clap
    closed_hat: Drum = drums.closed_hat
    open_hat: Drum = drums.open_hat
    ride: Drum = drums.ride
    brush: Drum = drums.brush
    rim: Drum = drums.rim
    crash: Drum = drums.crash
    chip_noise: Drum = drums.chip_noise


PLAIN = Band()

# The instruments of each style by their role: chords, lead, bass, low drum, high drum, cymbal.
_ROLES = {
    "ambient": ("pad", "bell", "deep_bass", "kick", "rim", "ride"),
    "chiptune": ("chip", "chip", "synth_bass", "kick", "snare", "chip_noise"),
    "house": ("stab", "electric_piano", "synth_bass", "kick", "clap", "open_hat"),
    "waltz": ("pluck", "pluck", "upright", "bass_drum", "brush", "ride"),
    "drum_and_bass": ("pad", "bell", "reese", "kick", "snare", "closed_hat"),
    "swing": ("electric_piano", "reed", "upright", "kick", "brush", "ride"),
    "dub": ("skank", "reed", "deep_bass", "kick", "rim", "closed_hat"),
    "march": ("brass", "brass", "brass", "bass_drum", "snare", "crash"),
}


def exchange(
    rng: np.random.Generator, style: str, neighbour: str, *, tempo: float, probability: float
) -> Band:
    """Return a band for `style` at a factor of its tempo.

    Each role is played by the neighbour's instrument with the given probability.
    """
    parts = {}
    for instrument, replacement in zip(_ROLES[style], _ROLES[neighbour], strict=True):
        if rng.random() < probability:
            parts[instrument] = getattr(PLAIN, replacement)
    return replace(PLAIN, tempo=tempo, **parts)
