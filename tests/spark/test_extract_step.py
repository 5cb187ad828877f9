import numpy as np

from jobs.audio import features_of_file
from jobs.dsp import features
from jobs.lake.feature_columns import FEATURE_COLUMNS
from jobs.lake.schemas import FEATURES, REJECTS, TRACKS


def run_all(step, **options):
    return [step(name, **options) for name in ("compress", "catalog", "extract")]


def values(row):
    return np.array([row[name] for name in FEATURE_COLUMNS])


def test_features_follow_the_files(step, song, table, monkeypatch):
    path = song("000/000002.mp3", seed=1)
    song("000/000003.mp3", seed=2)
    assert run_all(step)[2] == {"tracks": 2, "extracted": 2, "rejected": 0, "attempted": 2}
    first = {row["track_id"]: row for row in table(FEATURES)}
    assert all(np.isfinite(values(row)).all() and row["sample_rate"] == 44_100 for row in first.values())
    assert first["2"]["duration_s"] > 1.95

    assert run_all(step)[2]["attempted"] == 0
    song("000/000002.mp3", seed=3)
    assert run_all(step)[2]["attempted"] == 1
    second = {row["track_id"]: row for row in table(FEATURES)}
    assert second["3"] == first["3"] and second["2"]["content_hash"] != first["2"]["content_hash"]

    path.write_bytes(path.read_bytes()[:9_000])  # now broken: no features of what it was
    step("compress")
    step("catalog")
    assert [row["path"] for row in table(REJECTS)] == [str(path)]
    assert [row["track_id"] for row in table(TRACKS)] == ["3"]


def test_features_describe_compressed_audio(step, song, table):
    song("2.flac")
    run_all(step)
    track, row = table(TRACKS)[0], table(FEATURES)[0]
    expected, duration, rate = features_of_file.extract_file_features(track["audio_path"])
    assert track["audio_path"].endswith(".mp3") and (row["duration_s"], row["sample_rate"]) == (
        duration,
        rate,
    )
    # In this process BLAS may use more threads than on a worker: MusiCNN's sums are added in another order.
    np.testing.assert_allclose(values(row), expected, rtol=1e-5, atol=1e-5)
    assert row["feature_version"] == features.FEATURE_VERSION


def test_rejected_track_is_retried_on_demand(step, song, table, lake):
    song("2.mp3", seconds=5)
    step("compress")
    step("catalog")
    played = table(TRACKS)[0]["audio_path"]
    with open(played, "r+b") as file:
        file.truncate(20_000)
    counts = step("extract")
    assert (counts["extracted"], counts["rejected"], counts["attempted"]) == (0, 1, 1)
    row = table(REJECTS)[0]
    assert (row["step"], row["attempts"]) == ("extract", 1) and "truncated" in row["error"]
    assert step("extract")["attempted"] == 0
    assert step("extract", retry_rejected=True)["attempted"] == 1
    assert table(REJECTS)[0]["attempts"] == 2 and table(REJECTS)[0]["first_seen"] == row["first_seen"]


def test_real_recordings(step, table, recordings):
    library = str(recordings / "fma_small")
    compress, catalog, extracted = run_all(step, library=library)
    assert (compress["compressed"], catalog["tracks"], extracted["extracted"]) == (4, 4, 4)
    tracks = {row["track_id"]: row for row in table(TRACKS)}
    assert set(tracks) == {"2", "3", "5", "193"}
    assert tracks["2"]["artist"] == "AWOL" and tracks["2"]["title"] == "Food"
    for row in table(FEATURES):
        assert row["duration_s"] > 29 and np.isfinite(values(row)).all()


def test_false_audio_is_rejected(step, table, recordings):
    assert step("compress", library=str(recordings / "bad"))["rejected"] == 2
    assert [row["error"].split("found ")[1][:17] for row in table(REJECTS)] == [
        "a Git LFS pointer",
        "text ('Karissa_Ho",
    ]
