"""Key of scales with a known answer, and tonnetz against librosa."""

import librosa
import numpy as np
import pytest

from jobs.dsp import features, harmony, tonality

RATE = 22_050
MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11, 12)
# Harmonic minor, with the raised seventh that melodies use.
MINOR_SCALE = (0, 2, 3, 5, 7, 8, 11, 12)


def synthesize(notes: list[int]) -> np.ndarray:
    time = np.arange(RATE // 3) / RATE
    fade = np.minimum(1, 20 * np.minimum(time, time[::-1]))
    tones = [fade * np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * time) for note in notes]
    return (0.5 * np.concatenate(tones)).astype(np.float32)


def key_of(signal: np.ndarray) -> tuple[str, float]:
    result = features.extract_groups(
        lambda: iter([signal]), sample_rate=RATE, groups=[harmony.ConstantQHarmony]
    )
    return tonality.KEYS[int(result["key"][0])], float(result["key_strength"][0])


@pytest.mark.parametrize(("tonic", "name"), [(60, "C"), (64, "E"), (57, "A"), (66, "F sharp")])
def test_scale_has_its_key(tonic: int, name: str) -> None:
    major, strength = key_of(synthesize([tonic + step for step in MAJOR_SCALE]))
    assert major == f"{name} major"
    assert strength > 0.4
    minor, _ = key_of(synthesize([tonic + step for step in MINOR_SCALE]))
    assert minor == f"{name} minor"


def test_key_profile_has_its_own_key() -> None:
    for tonic in range(12):
        assert tonality.estimate_key(np.roll(tonality.KRUMHANSL_MAJOR, tonic)) == (tonic, pytest.approx(1))
        assert tonality.estimate_key(np.roll(tonality.KRUMHANSL_MINOR, tonic)) == (
            12 + tonic,
            pytest.approx(1),
        )
    assert tonality.KEYS[0] == "C major"
    assert tonality.KEYS[21] == "A minor"


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_equal_pitch_classes_have_no_key(level: float) -> None:
    assert tonality.estimate_key(np.full(12, level)) == (0, 0.0)


def test_tonnetz_is_librosas() -> None:
    chroma = np.random.default_rng(0).random((12, 50), dtype=np.float32)
    chroma[:, 7] = 0
    expected = librosa.feature.tonnetz(chroma=chroma)
    np.testing.assert_allclose(tonality.tonnetz(chroma.T).T, expected, atol=1e-6)
