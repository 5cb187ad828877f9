"""Known faults of FMA's archives, found by file name, length and bit rate."""

import pytest

from jobs.fma import errata

METADATA = {
    "98567": {"line": 7, "track_duration": 191, "track_bit_rate": 320_000},
    "4": {"line": 8, "track_duration": 4, "track_bit_rate": 256_000},
    "27": {"line": 9, "track_duration": 200, "track_bit_rate": 100_000_000},
}


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("000/000002.mp3", "2"),
        ("2.mp3", "2"),
        ("a/01 Aria.mp3", None),
        ("000000.mp3", "0"),
        ("/m/098567.mp3", "98567"),
    ],
)
def test_track_number_is_the_file_name_without_zeros(path, number):
    assert errata.track_number(path) == number


@pytest.mark.parametrize(
    ("path", "seconds", "is_short"),
    [
        ("098/098567.mp3", 0.5, True),
        ("098/098567.mp3", 29.98, False),
        ("098/098567.mp3", 191.0, False),  # of fma_full
        ("000/000004.mp3", 4.0, False),  # the track itself is that short
        ("000/000003.mp3", 0.5, False),  # no metadata
        ("music/98567 miles.mp3", 0.5, False),
    ],
)
def test_short_clips_compares_with_the_metadata(path, seconds, is_short):
    reasons = errata.short_clips([{"path": path, "duration_s": seconds}], METADATA)
    assert list(reasons) == [path] * is_short
    if is_short:
        assert reasons[path].startswith(
            "expected a clip of 30 s of a track of 191 s (tracks.csv line 7), found 0.5 s"
        )


def test_wrong_bit_rates_reports_impossible_values():
    reasons = errata.wrong_bit_rates(
        [{"path": "000027.mp3"}, {"path": "000004.mp3"}, {"path": "x.mp3"}], METADATA
    )
    assert list(reasons) == ["000027.mp3"]
    assert "found 100,000,000: ignored, the track is used" in reasons["000027.mp3"]
