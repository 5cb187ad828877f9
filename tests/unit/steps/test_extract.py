"""How staged results become rows of FEATURES."""

import errno
import os

import numpy as np
import pyarrow as pa
import pytest

from jobs.audio import decoding
from jobs.errors import StepError
from jobs.lake.feature_columns import FEATURE_COLUMNS
from jobs.lake.schemas import FEATURES
from jobs.steps import extract


def staged(*results):
    """A batch of staged results.

    (track_id, value of the first feature, or None where the track was rejected).
    """
    rows = []
    for track_id, value in results:
        features = None if value is None else np.arange(value, value + len(FEATURE_COLUMNS), dtype=np.float32)
        error = "broken" if value is None else None
        rows.append({"track_id": track_id, "feature_version": "v", "features": features, "error": error})
    return pa.RecordBatch.from_pylist(rows, schema=extract._RESULTS.arrow_schema())


def merged(old, parts):
    """Rows of FEATURES, (track_id, first feature), from the rows before and the staged parts, the latest
    first.
    """
    before = [extract.explode_features(staged(*old))] if old else []
    found = list(extract.merge_features(iter(before), lambda: iter(parts)))
    assert all(batch.schema.equals(FEATURES.arrow_schema()) for batch in found)
    return sorted((r["track_id"], r[FEATURE_COLUMNS[0]]) for batch in found for r in batch.to_pylist())


def test_explode_features_has_column_per_feature():
    row = extract.explode_features(staged(("a", 5), ("b", 7))).to_pylist()[1]
    assert [row[name] for name in FEATURE_COLUMNS] == list(range(7, 7 + len(FEATURE_COLUMNS)))
    assert row["track_id"] == "b"


def test_merge_replaces_attempted_rows():
    assert merged([("a", 1), ("b", 2), ("c", 3)], [staged(("b", 20), ("d", 40))]) == [
        ("a", 1),
        ("b", 20),
        ("c", 3),
        ("d", 40),
    ]


def test_merge_drops_rejected_track():
    assert merged([("a", 1)], [staged(("a", None))]) == []


def test_merge_takes_latest_attempt():
    assert merged([], [staged(("a", 9)), staged(("a", 1), ("b", None)), staged(("b", 2))]) == [("a", 9)]


def test_merge_of_nothing_is_empty():
    assert merged([], []) == []


def test_failing_disk_raises_step_error(tone, monkeypatch):
    def away(path):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    row = {"track_id": "2", "audio_path": str(tone("2.wav"))}
    monkeypatch.setattr(decoding, "open_audio", away)
    with pytest.raises(StepError, match="found at .*/2.wav: No such device"):
        extract.extract_file(row)


def test_missing_audio_raises_and_is_not_rejected(tone):
    there, gone = str(tone("2.wav")), "/no/such/3.wav"
    assert extract.extract_file({"track_id": "3", "audio_path": gone}) is None
    extract.check_audio_exists([there])
    with pytest.raises(
        StepError, match="expected the audio of 2 tracks, found 1 files missing, as /no/such/3.wav; "
    ):
        extract.check_audio_exists([there, gone])
