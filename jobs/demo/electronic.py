"""The electronic styles: ambient, chiptune, house, drum'n'bass, dub.

A style is a function of a random generator, which decides key, tempo, chords and melody, and of the player's
character `tone` (0 to 1). It returns a finished clip, stereo float32, shape (2, n), 10 to 30 s.
"""

import numpy as np

from jobs.demo import synth
from jobs.demo.band import PLAIN, Band
from jobs.demo.mixing import Timeline, duck, echo, high_pass, low_pass, master, reverb
from jobs.demo.theory import Key, melody


def ambient(rng: np.random.Generator, tone: float, band: Band = PLAIN) -> np.ndarray:
    """Slow chords that melt into each other, a few bells far away, no drums."""
    key = Key(int(rng.integers(12)), str(rng.choice(["lydian", "major", "dorian"])))
    roots = [(0, 4, 3, 0), (0, 5, 3, 4), (0, 2, 3, 1), (0, 3, 5, 4)][rng.integers(4)]
    timeline = Timeline(band.tempo * rng.uniform(58, 70), 20, tail=3.5)
    for bar, root in enumerate((*roots, 0)):
        for voice, midi in enumerate(key.chord(root, 55, 4)):
            timeline.add(
                "pad", band.pad(midi, 3.9 * timeline.beat_s, tone), 4 * bar, 0.3, pan=-0.75 + 0.5 * voice
            )
        timeline.add("pad", band.pad(key.note_in_octave(root, 36), 3.9 * timeline.beat_s, 0.0), 4 * bar, 0.45)
    for note in melody(rng, key, (*roots, 0), [(-1, 1, 2), (-2, 2), (-1, 1, -1, 1), (-1, 3)], 69):
        late = float(rng.uniform(0, 0.2))
        timeline.add(
            "bells",
            band.bell(note.midi, note.beats * timeline.beat_s, tone),
            note.beat + late,
            0.16,
            pan=-0.4 + 2 * late,
        )
    bells = echo(timeline["bells"], delay=0.75 * timeline.beat_s, feedback=0.5, amount=0.5)
    return master(reverb(timeline["pad"] + bells, length=4.0, amount=1.1), fade_in=2.0, fade_out=4.0)


def chiptune(rng: np.random.Generator, tone: float, band: Band = PLAIN) -> np.ndarray:
    """A console's four voices: lead, echo and arpeggio on pulses, bass on a triangle, noise for drums."""
    key = Key(int(rng.integers(12)), str(rng.choice(["major", "minor", "mixolydian"])))
    roots = [(0, 4, 5, 3), (0, 5, 3, 4), (0, 6, 5, 4), (0, 3, 0, 4)][rng.integers(4)] * 3
    timeline = Timeline(band.tempo * rng.uniform(138, 164), 4 * len(roots), tail=0.6)
    sixteenth = 0.25 * timeline.beat_s
    for bar, root in enumerate(roots):
        chord = key.chord(root, 60)
        for step in range(16):
            arpeggio = band.chip(chord[step % 3] + 12 * (step % 6 > 2), sixteenth, 0.0)
            timeline.add("pulses", arpeggio, 4 * bar + step / 4, 0.14, pan=0.35)
        for eighth in range(8):
            midi = key.note_in_octave(root, 36) + 12 * (eighth % 2)
            low = synth.wave("triangle", synth.midi_to_hz(midi), round(1.8 * sixteenth * synth.SAMPLE_RATE))
            timeline.add("bass", low, 4 * bar + eighth / 2, 0.27)
    rhythms = [(1, 0.5, 0.5, 1, 1), (0.5, 0.5, 0.5, 0.5, 1, 1), (1.5, 0.5, 0.5, 0.5, 1), (1, 1, 2)]
    for note in melody(rng, key, roots, rhythms, 62):
        voice = band.chip(note.midi, 0.9 * note.beats * timeline.beat_s, 0.5 + tone / 2)
        timeline.add("pulses", voice, note.beat, 0.34, pan=-0.1)
        timeline.add("pulses", voice, note.beat + 0.75, 0.09, pan=0.7)
    timeline.pattern("noise", band.chip_noise(0.1), "x...X...x.x.X...", 0.35)
    timeline.pattern("noise", band.chip_noise(1.0)[:1500], "o.x.", 0.25, step=0.25)
    return master(timeline["pulses"] + timeline["bass"] + timeline["noise"], fade_out=0.7)


def house(rng: np.random.Generator, tone: float, band: Band = PLAIN) -> np.ndarray:
    """Four kicks to the bar, the hat between them, off-beat chords that the kick presses down."""
    key = Key(int(rng.integers(12)), str(rng.choice(["minor", "dorian"])))
    roots = [(0, 5, 2, 6), (0, 3, 5, 4), (0, 6, 5, 6), (0, 2, 3, 4)][rng.integers(4)] * 3
    timeline = Timeline(band.tempo * rng.uniform(120, 127), 4 * len(roots), swing=0.5 + 0.04 * tone, tail=1.2)
    hits = [(0.5, 1.5, 2.75), (0.0, 0.75, 2.5), (0.5, 1.25, 2.5, 3.25)][rng.integers(3)]
    groove = [(0.5, 0.75, 1.5, 2.5, 3.5), (0.5, 1.5, 2.5, 3.25, 3.5), (0.75, 1.5, 2.25, 3.5)][rng.integers(3)]
    for bar, root in enumerate(roots):
        for hit in hits:
            for voice, midi in enumerate(key.chord(root, 57, 4)):
                chord = band.stab(midi, 0.4 * timeline.beat_s, tone)
                timeline.add("keys", chord, 4 * bar + hit, 0.3, pan=-0.45 + 0.3 * voice)
        for step, beat in enumerate(groove):
            midi = key.note_in_octave(root, 33) + (12 if step == len(groove) - 1 else 0)
            timeline.add("bass", band.synth_bass(midi, 0.4 * timeline.beat_s, tone), 4 * bar + beat, 0.3)
        if bar >= 4:
            for voice, midi in enumerate(key.chord(root, 69)):
                timeline.add(
                    "keys", band.pad(midi, 3 * timeline.beat_s, 0.4), 4 * bar, 0.1, pan=0.6 - 0.6 * voice
                )
    for note in melody(
        rng, key, roots, [(-0.5, 0.5, -0.5, 0.5, -2), (0.75, 0.75, 0.5, -2), (-1.5, 0.5, 2)], 64
    ):
        if note.beat >= 16:  # the hook enters with the second repeat of the chords
            timeline.add(
                "hook", band.electric_piano(note.midi, note.beats * timeline.beat_s, tone), note.beat, 0.36
            )
    timeline.pattern("drums", band.kick(tone), "X...", 0.6)
    timeline.pattern("drums", band.clap(tone), "....x...", 0.45)
    timeline.pattern("drums", band.open_hat(tone), "..x.", 0.22, pan=0.15)
    timeline.pattern("drums", band.closed_hat(tone), "oooxo.oo", 0.22, pan=-0.2)
    hook = echo(timeline["hook"], delay=0.75 * timeline.beat_s, feedback=0.4, amount=0.35)
    keys = reverb(timeline["keys"] + hook, length=1.6, amount=0.45)
    music = duck(keys + timeline["bass"], timeline.beat_s, 0.65)
    return master(music + timeline["drums"], fade_out=1.2)


# Two bars in sixteenths: kick, and snare with its ghost notes. The first is the break that the style was
# built on.
_BREAKS = (
    ("X.X.......X.....X.X.......XX....", "....X..o.o..X..o....X..o.o..X.o."),
    ("X.........X.....X.....X...X.....", "....X..o....X.o.....X..o.o..X..o"),
    ("X..X......X.....X..X....X.X.....", "....X.....o.X..o....X..o....X.oo"),
)


def drum_and_bass(rng: np.random.Generator, tone: float, band: Band = PLAIN) -> np.ndarray:
    """A broken beat at 174, under it long bass notes at half that pace, over it a cold pad."""
    key = Key(int(rng.integers(12)), str(rng.choice(["minor", "harmonic"])))
    roots = [(0, 0, 5, 5), (0, 0, 3, 4), (0, 0, 6, 5)][rng.integers(3)] * 4
    timeline = Timeline(band.tempo * rng.uniform(170, 177), 4 * len(roots), tail=1.5)
    kick, snare = _BREAKS[rng.integers(3)]
    phrases = [((0, 1.5), (2.5, 1.0)), ((0, 2.5), (3.0, 0.5)), ((0, 0.75), (1.5, 2.0))][rng.integers(3)]
    for bar, root in enumerate(roots):
        for beat, beats in phrases:
            midi = key.note_in_octave(root if beat == 0 else root + 4 * (bar % 2), 29)
            timeline.add("bass", band.reese(midi, beats * timeline.beat_s, tone), 4 * bar + beat, 0.36)
        if bar % 2 == 0:
            for voice, midi in enumerate(key.chord(root, 62, 4)):
                timeline.add(
                    "pad", band.pad(midi, 7 * timeline.beat_s, 0.7), 4 * bar, 0.16, pan=-0.8 + 0.53 * voice
                )
    for note in melody(rng, key, roots[::2], [(-2, 1, 1, 4), (3, 3, -2), (-4, 2, 2), (2, 6)], 69):
        timeline.add(
            "pad", band.bell(note.midi, note.beats * timeline.beat_s, tone), note.beat, 0.14, pan=0.3
        )
    timeline.pattern("drums", band.kick(0.8), kick, 0.6)
    timeline.pattern("drums", band.snare(0.5 + tone / 2), snare, 0.75)
    timeline.pattern("drums", band.closed_hat(tone), "xoxo", 0.3, pan=0.25)
    timeline.pattern("drums", band.ride(tone), "x...", 0.12, pan=-0.3, step=0.5)
    room = reverb(timeline["drums"], length=0.5, amount=0.25, high=8000)
    return master(room + timeline["bass"] + reverb(timeline["pad"], length=2.5, amount=0.7), fade_out=1.5)


def dub(rng: np.random.Generator, tone: float, band: Band = PLAIN) -> np.ndarray:
    """Two chords, a sparse bass, and an echo that fills the gaps; the kick falls on the third beat only."""
    key = Key(int(rng.integers(12)), str(rng.choice(["minor", "dorian"])))
    roots = [(0, 0, 3, 3), (0, 0, 6, 6), (0, 3, 0, 4), (0, 4, 0, 4)][rng.integers(4)] * 2
    timeline = Timeline(band.tempo * rng.uniform(124, 142), 4 * len(roots), swing=0.54, tail=3.0)
    riff = [
        ((0, 0), (1, 0), (1.5, 2), (2.5, 4)),
        ((0, 0), (0.5, 0), (2, 4), (3, 2)),
        ((0.5, 0), (1.5, 0), (2, 2), (3, 4), (3.5, 2)),
    ][rng.integers(3)]
    for bar, root in enumerate(roots):
        for beat, third in riff:
            length = 0.8 * timeline.beat_s
            timeline.add(
                "bass",
                band.deep_bass(key.note_in_octave(root + third, 31), length, tone),
                4 * bar + beat,
                0.55,
            )
        for beat in (1, 3):
            bus = "echo" if bar % 4 == 3 or rng.random() < 0.2 else "skank"
            for midi in key.chord(root, 57):
                timeline.add(
                    bus, band.skank(midi, 0.22 * timeline.beat_s, tone), 4 * bar + beat, 0.24, pan=-0.25
                )
    for note in melody(
        rng, key, roots[::2], [(-2, 0.5, 0.5, 1, -4), (1, 1, 2, -4), (-8,), (-1, 1, 2, -4)], 64
    ):
        timeline.add(
            "echo", band.reed(note.midi, 0.8 * note.beats * timeline.beat_s, 0.1), note.beat, 0.24, pan=0.3
        )
    timeline.pattern("drums", band.kick(0.1), "........X.......", 0.55)
    timeline.pattern("echo", band.rim(tone), "........x......." * 3 + "........x..x..x.", 0.3, pan=0.2)
    timeline.pattern("drums", band.closed_hat(0.2), "o.x.o.x.o.x.o.xo", 0.11, pan=-0.15)
    echoes = echo(timeline["echo"], delay=0.75 * timeline.beat_s, feedback=0.62, amount=0.75)
    space = reverb(high_pass(timeline["skank"], 250) + echoes, length=2.2, amount=0.6, high=3200)
    return master(low_pass(timeline["bass"], 700) + low_pass(timeline["drums"], 6000) + space, fade_out=3.0)
