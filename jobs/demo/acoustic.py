"""The acoustic styles: waltz, swing, march. electronic.py describes arguments and result of a style."""

import numpy as np

from jobs.demo.band import PLAIN, Band
from jobs.demo.mixing import Timeline, master, reverb
from jobs.demo.theory import Key, melody


def waltz(rng: np.random.Generator, tone: float, band: Band = PLAIN) -> np.ndarray:
    """Three plucked strings in three-four time: a bass note and two strummed chords, a tune above them."""
    key = Key(int(rng.integers(12)), str(rng.choice(["major", "dorian", "harmonic"])))
    roots = [(0, 3, 4, 0, 5, 3, 4, 0), (0, 0, 3, 3, 4, 4, 0, 0), (0, 5, 3, 4, 0, 3, 4, 0)][
        rng.integers(3)
    ] * 2
    timeline = Timeline(band.tempo * rng.uniform(138, 168), 3 * len(roots), tail=2.0)
    for bar, root in enumerate(roots):
        low = key.note_in_octave(root if bar % 2 == 0 else root + 4, 40)
        timeline.add("guitar", band.pluck(low, 2.6 * timeline.beat_s, 0.3), 3 * bar, 0.5)
        for beat in (1, 2):
            for string, midi in enumerate(key.chord(root, 55)):
                strum = 3 * bar + beat + 0.03 * string
                gain = float(rng.uniform(0.17, 0.22))
                timeline.add("guitar", band.pluck(midi, 0.9 * timeline.beat_s, tone), strum, gain, pan=0.35)
    rhythms = [(1, 1, 1), (2, 1), (1.5, 0.5, 1), (1, 0.5, 0.5, 1), (3,)]
    for note in melody(rng, key, roots, rhythms, 67):
        length = note.beats * timeline.beat_s
        timeline.add("lute", band.pluck(note.midi, length + 0.3, 0.6 + 0.4 * tone), note.beat, 0.42, pan=-0.3)
        if note.beats >= 2:  # a third below where the tune rests
            timeline.add("lute", band.pluck(note.midi - 12, length, 0.4), note.beat + 0.5, 0.2, pan=-0.1)
    return master(
        reverb(timeline["guitar"] + timeline["lute"], length=1.1, amount=0.35, high=6500), fade_out=2.0
    )


def swing(rng: np.random.Generator, tone: float, band: Band = PLAIN) -> np.ndarray:
    """A small jazz band: walking bass, ride and brushes, a piano that comments, a saxophone that leads."""
    key = Key(int(rng.integers(12)), str(rng.choice(["major", "mixolydian", "dorian"])))
    roots = [(1, 4, 0, 0), (0, 5, 1, 4), (3, 4, 2, 5), (0, 3, 1, 4)][rng.integers(4)] * 3
    timeline = Timeline(band.tempo * rng.uniform(134, 172), 4 * len(roots), swing=0.64, tail=1.6)
    comments = [(0.0, 1.5), (1.5, 3.5), (0.5, 2.5), (1.0, 2.5)]
    for bar, root in enumerate(roots):
        following = roots[(bar + 1) % len(roots)]
        walk = [key.note_in_octave(root + third, 34) for third in (0, 2, 4)] + [
            key.note_in_octave(following, 34) + 1
        ]
        for beat, midi in enumerate(walk):  # the fourth beat leans on the next bar's root from above
            timeline.add("rhythm", band.upright(midi, 0.8 * timeline.beat_s, tone), 4 * bar + beat, 0.55)
        for chord_beat in comments[rng.integers(len(comments))]:
            for midi in key.chord(root + 2, 58, 4):  # from the third up: the root is the bass's
                piano = band.electric_piano(midi, 0.35 * timeline.beat_s, tone)
                timeline.add("band", piano, 4 * bar + chord_beat, 0.11, pan=0.4)
    rhythms = [
        (-1, 0.5, 0.5, 1, 1),
        (0.5, 0.5, 0.5, 0.5, 1.5, 0.5),
        (1, 0.5, 0.5, 0.5, 1.5),
        (-0.5, 0.5, 1, -1, 1),
        (1, 3),
    ]
    for note in melody(rng, key, roots, rhythms, 58):
        timeline.add(
            "band",
            band.reed(note.midi, 0.85 * note.beats * timeline.beat_s, 0.4 + tone / 2),
            note.beat,
            0.38,
            -0.2,
        )
    timeline.pattern("rhythm", band.ride(tone), "x.Xox.Xo", 0.2, pan=-0.45, step=0.5)
    timeline.pattern("rhythm", band.brush(tone), "x.X.", 0.16, pan=0.2, step=0.5)
    timeline.pattern("rhythm", band.closed_hat(0.7), ".x", 0.12, pan=-0.3, step=1)
    return master(
        timeline["rhythm"] + reverb(timeline["band"], length=0.9, amount=0.3, high=6000), fade_out=1.6
    )


def march(rng: np.random.Generator, tone: float, band: Band = PLAIN) -> np.ndarray:
    """A brass band: tubas on the beat, horns off the beat, trumpets in thirds, snare and cymbals."""
    key = Key(int(rng.choice([10, 3, 5, 8])), "major")  # the flat keys that the instruments are built in
    roots = [(0, 0, 4, 0, 3, 0, 4, 0), (0, 3, 4, 0, 5, 3, 4, 0), (0, 4, 5, 3, 0, 3, 4, 0)][rng.integers(3)]
    timeline = Timeline(band.tempo * rng.uniform(106, 122), 4 * len(roots), tail=1.8)
    for bar, root in enumerate(roots):
        for beat in range(4):
            low = key.note_in_octave(root if beat % 2 == 0 else root + 4, 34)
            timeline.add("band", band.brass(low, 0.6 * timeline.beat_s, 0.1), 4 * bar + beat, 0.33, pan=0.1)
            for voice, midi in enumerate(key.chord(root, 55)):
                horn = band.brass(midi, 0.3 * timeline.beat_s, 0.2)
                timeline.add("band", horn, 4 * bar + beat + 0.5, 0.15, pan=-0.5 + 0.2 * voice)
    rhythms = [(1, 0.5, 0.5, 1, 1), (1.5, 0.5, 1, 1), (0.5, 0.5, 1, 0.5, 0.5, 1), (1, 1, 2)]
    for note in melody(rng, key, roots, rhythms, 65):
        length = 0.85 * note.beats * timeline.beat_s
        chord = key.chord(roots[int(note.beat // 4)], 55)
        below = max(
            m + 12 * octave for m in chord for octave in (-1, 0, 1) if m + 12 * octave < note.midi - 2
        )
        timeline.add("band", band.brass(note.midi, length, tone), note.beat, 0.42, pan=-0.15)
        timeline.add("band", band.brass(below, length, tone), note.beat, 0.26, pan=0.35)
    timeline.pattern("drums", band.bass_drum(tone), "X...x...", 0.32)
    timeline.pattern("drums", band.snare(0.7), "x.o.x.oox.o.xoxo", 0.34, pan=-0.2)
    timeline.pattern("drums", band.crash(tone), "x" + "." * 63, 0.3)
    return master(
        reverb(timeline["band"] + timeline["drums"], length=1.4, amount=0.4, high=7000), fade_out=1.6
    )
