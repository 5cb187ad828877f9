"""Known faults of FMA's archives, found by file name, length and bit rate."""

import pytest

from jobs.fma import errata

METADATA = {
    "98567": {"line": 7, "track_duration": 191, "track_bit_rate": 320_000},
    "4": {"line": 8, "track_duration": 4, "track_bit_rate": 256_000},
    "27": {"line": 9, "track_duration": 200, "track_bit_rate": 100_000_000},
}


@pytest.mark.parametrize(
    ("path", "number", "number_anywhere"),
    [
        ("000/000002.mp3", "2", "2"),
        ("/m/fma_full/123/123456.mp3", "123456", "123456"),
        ("000/000000.mp3", "0", "0"),
        ("a/01 Aria.mp3", None, None),
        ("2.mp3", None, "2"),
        ("Beta/02.mp3", None, "2"),
        ("/m/098567.mp3", None, "98567"),
        ("098/099567.mp3", None, "99567"),  # another folder than FMA's
        ("1000/000002.mp3", None, "2"),
        ("000/0000002.mp3", None, "2"),
    ],
)
def test_fma_number_needs_fma_layout(path, number, number_anywhere):
    assert errata.fma_number(path) == number
    assert errata.fma_number(path, any_folder=True) == number_anywhere


@pytest.mark.parametrize(
    ("path", "seconds", "is_short"),
    [
        ("098/098567.mp3", 0.5, True),
        ("098/098567.mp3", 29.98, False),
        ("098/098567.mp3", 191.0, False),  # of fma_full
        ("000/000004.mp3", 4.0, False),  # the track itself is that short
        ("000/000003.mp3", 0.5, False),  # no metadata
        ("music/98567 miles.mp3", 0.5, False),
        ("music/98567.mp3", 0.5, False),
    ],
)
def test_short_clips_compares_with_the_metadata(path, seconds, is_short):
    file = {"path": path, "fma_id": errata.fma_number(path), "duration_s": seconds}
    reasons = errata.short_clips([file], METADATA)
    assert list(reasons) == [path] * is_short
    if is_short:
        assert reasons[path].startswith(
            "expected a clip of 30 s of a track of 191 s (tracks.csv line 7), found 0.5 s"
        )


def test_wrong_bit_rates_reports_impossible_values():
    reasons = errata.wrong_bit_rates(
        [{"path": f"{number}.mp3", "fma_id": number} for number in ("27", "4", None)], METADATA
    )
    assert list(reasons) == ["27.mp3"]
    assert "found 100,000,000: ignored, the track is used" in reasons["27.mp3"]
