"""Keys, chords and melodies as whole numbers.

A degree is a step of the scale: 0 is the tonic, 7 the octave above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Semitones above the tonic.
MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic": (0, 2, 3, 5, 7, 8, 11),
}

# Steps from one note of a melody to the next, drawn at random: mostly to a neighbour, seldom further.
_STEPS = (-2, -1, -1, -1, 1, 1, 1, 2, 3)

# The bars of a phrase: question, answer, the question again, the close.
_FORM = "abac"


@dataclass(frozen=True)
class Note:
    """One note: its start and length in beats, its pitch as a MIDI number."""

    beat: float
    beats: float
    midi: int


@dataclass(frozen=True)
class Key:
    """A tonic (0 to 11, C is 0) and a mode, one of MODES."""

    tonic: int
    mode: str

    def note(self, degree: int, low: int) -> int:
        """Return the MIDI number of a degree; degree 0 is in the octave from `low` up."""
        octave, step = divmod(degree, 7)
        return low + (self.tonic - low) % 12 + 12 * octave + MODES[self.mode][step]

    def note_in_octave(self, degree: int, low: int) -> int:
        """Return the MIDI number of a degree, folded into the octave from `low` up: for bass lines."""
        return low + (self.note(degree, low) - low) % 12

    def chord(self, root: int, low: int, size: int = 3) -> list[int]:
        """Return the MIDI numbers of the chord of `size` thirds on `root`, folded into the octave from `low`
        up.

        Folding keeps every voice near its note in the previous chord, like a pianist's hand.
        """
        return sorted(self.note_in_octave(root + 2 * third, low) for third in range(size))


def melody(
    rng: np.random.Generator, key: Key, roots: Sequence[int], rhythms: Sequence[Sequence[float]], low: int
) -> list[Note]:
    """Return a melody over one chord root per bar.

    A phrase has four bars, a b a c: rhythm and contour come back, so that the ear has something to remember.
    Each bar begins on a note of its chord, and the fourth ends on its root.

    Parameters
    ----------
    rng
        Decides rhythms and contours.
    key
        The key.
    roots
        Degree of the chord root of each bar.
    rhythms
        Bars as lengths in beats, negative for a rest; the last one closes a phrase.
    low
        Lowest MIDI number of the octave and a half that the melody uses.
    """
    bar_beats = sum(abs(length) for length in rhythms[0])
    rhythm = {letter: rhythms[int(rng.integers(len(rhythms) - 1))] for letter in "ab"} | {"c": rhythms[-1]}
    contour = {letter: rng.choice(_STEPS, 16) for letter in "abc"}
    degree = int(rng.integers(2, 6))
    notes: list[Note] = []
    for bar, root in enumerate(roots):
        letter = _FORM[bar % 4]
        beat = bar * bar_beats
        degree = _nearest(degree, root)
        for position, length in enumerate(rhythm[letter]):
            if length > 0:
                is_last = letter == "c" and position == len(rhythm[letter]) - 1
                pitch = _nearest(degree, root, (0,)) if is_last else degree
                notes.append(Note(beat, length, key.note(pitch, low)))
                degree = _inside(degree + int(contour[letter][position]))
            beat += abs(length)
    return notes


def _nearest(degree: int, root: int, thirds: Sequence[int] = (0, 2, 4)) -> int:
    """Return the degree nearest to `degree` that belongs to the chord on `root`."""
    return min((d for d in range(-2, 14) if (d - root) % 7 in thirds), key=lambda d: (abs(d - degree), d))


def _inside(degree: int) -> int:
    """Return the degree, moved back by five steps if it is outside the octave and a half."""
    return degree - 5 if degree > 10 else degree + 5 if degree < -1 else degree
