"""A lake in an object store: what is in the bucket, and what happens if the store fails.

`test_storage.py` and `plays/test_play_log.py` run over both kinds of lakes.
"""

import json

import pyarrow as pa
import pytest

from jobs.errors import InputError, StepError
from jobs.lake import object_store as store_module
from jobs.lake.object_store import ConflictError, ObjectStore
from jobs.lake.schemas import TRACKS, VECTORS
from jobs.lake.storage import Lake
from tests.object_store import BUCKET, client_environment


@pytest.fixture
def lake(tmp_path, store_url):
    return Lake(tmp_path / "lake", store_url)


@pytest.fixture
def faults(object_store):
    yield object_store.faults
    object_store.faults.unavailable = object_store.faults.lost = object_store.faults.silent = 0
    object_store.faults.only = ""


@pytest.fixture
def impatient(monkeypatch):
    """Repeat failed requests for a second instead of a minute."""
    monkeypatch.setattr(store_module, "_RETRY_LIMIT", store_module.timedelta(seconds=1.5))
    monkeypatch.setattr(store_module, "_ATTEMPT_LIMIT", store_module.timedelta(seconds=0.5))


def batch(*ids):
    rows = [{"embedder_id": "p", "track_id": track_id, "embedding": [1.0, 0.0]} for track_id in ids]
    return pa.RecordBatch.from_pylist(rows, schema=VECTORS.arrow_schema())


def ids(lake):
    return lake.read_arrow(VECTORS)["track_id"].to_pylist()


def keys(url):
    return [each.key for each in ObjectStore(url).list("")]


def test_manifest_names_the_files_of_two_versions(lake, store_url):
    for name in "abc":
        lake.commit_arrow(VECTORS, [batch(name)])
    manifest = json.loads(ObjectStore(store_url).get("VECTORS/current.json")[0])
    assert manifest["version"].startswith("v000003-")
    assert manifest["previous"]["version"].startswith("v000002-")
    named = {*manifest["files"], *manifest["previous"]["files"]}
    assert set(keys(store_url)) == {*named, "VECTORS/current.json", "VERSION"} and len(named) == 2
    assert not any(lake.root.glob("VECTORS/*"))


def test_remains_of_a_killed_commit_are_not_read_and_deleted_by_the_next(lake, store_url):
    lake.commit_arrow(VECTORS, [batch("a")])
    ObjectStore(store_url).put("VECTORS/versions/v000002-killed/part-00000.parquet", b"PAR1 and no more")
    assert ids(lake) == ["a"]
    lake.commit_arrow(VECTORS, [batch("b")])
    assert ids(lake) == ["b"] and not any("killed" in key for key in keys(store_url))


def test_second_committer_of_a_table_is_refused(lake, tmp_path, store_url):
    def other_commits_meanwhile():
        yield batch("slow")
        Lake(tmp_path / "other", store_url).commit_arrow(VECTORS, [batch("fast")])

    for before in ([], [batch("a")]):
        with pytest.raises(StepError, match="expected one writer of VECTORS in s3://"):
            lake.commit_arrow(VECTORS, other_commits_meanwhile())
        assert ids(lake) == ["fast"]
        lake.commit_arrow(VECTORS, before)


def test_lost_answer_of_a_put_that_worked(lake, faults):
    lake.commit_arrow(VECTORS, [batch("a")])
    for only in ("current.json", ".parquet"):
        faults.only, faults.lost = only, 1
        lake.commit_arrow(VECTORS, [batch("b", only)])
        assert faults.lost == 0 and ids(lake) == ["b", only]


def test_lost_answer_of_the_first_put(lake, faults):
    faults.only, faults.lost = "current.json", 1
    lake.commit_arrow(VECTORS, [batch("a")])
    assert faults.lost == 0 and ids(lake) == ["a"]


def test_store_that_is_busy_for_a_moment(lake, faults):
    faults.unavailable = 3
    lake.commit_arrow(VECTORS, [batch("a")])
    faults.unavailable = 2
    assert faults.unavailable == 2 and ids(lake) == ["a"] and faults.unavailable == 0


def test_store_that_stays_busy_is_one_line_and_leaves_the_old_version(tmp_path, store_url, faults, impatient):
    lake = Lake(tmp_path, store_url)
    lake.commit_arrow(VECTORS, [batch("a")])
    for only in ("current.json", ".parquet"):
        faults.only, faults.unavailable = only, -1
        with pytest.raises(StepError, match=f"expected {store_url} to answer, found SlowDown") as error:
            lake.commit_arrow(VECTORS, [batch("b")])
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
        faults.unavailable = 0
        assert ids(lake) == ["a"]


def test_store_that_is_silent_for_a_moment(tmp_path, store_url, faults, impatient):
    lake = Lake(tmp_path, store_url)
    faults.only, faults.silent = "current.json", 1
    lake.commit_arrow(VECTORS, [batch("a")])
    assert faults.silent == 0 and ids(lake) == ["a"]


def test_missing_bucket(tmp_path, object_store):
    with pytest.raises(StepError, match="expected the bucket no-such-bucket, found none of that name"):
        Lake(tmp_path, "s3://no-such-bucket/lake").commit_arrow(VECTORS, [batch("a")])


def test_unreachable_store(tmp_path, monkeypatch, impatient):
    for name, value in client_environment(9).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StepError, match=f"expected s3://{BUCKET}/x to answer, found ") as error:
        Lake(tmp_path, f"s3://{BUCKET}/x")
    assert "\n" not in str(error.value) and "secret" not in str(error.value)


def test_no_keys(tmp_path, object_store, store_url, monkeypatch, impatient):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StepError, match="expected keys for s3://.*, found neither AWS_ACCESS_KEY_ID"):
        Lake(tmp_path, store_url)


def test_refused_keys(lake, faults):
    faults.refused = 1
    with pytest.raises(StepError, match=r"expected keys that may read and write .*InvalidAccessKeyId.*AWS_"):
        lake.version(VECTORS)


def test_other_version_is_refused(tmp_path, store_url):
    ObjectStore(store_url).put("VERSION", b"3\n")
    with pytest.raises(InputError, match="found one of version 3; update Segue"):
        Lake(tmp_path, store_url)


def test_folder_of_another_lake_is_refused(tmp_path, store_url):
    Lake(tmp_path / "state", store_url)
    Lake(tmp_path / "state", store_url)
    with pytest.raises(InputError, match=f"SEGUE_STATE: expected a folder for .*, found that of {store_url}"):
        Lake(tmp_path / "state", f"{store_url}2")
    Lake(tmp_path / "lake").commit_arrow(VECTORS, [batch("a")])
    with pytest.raises(InputError, match="found that of tables of a lake at"):
        Lake(tmp_path / "lake", store_url)


def test_conditional_puts(store_url, faults):
    store = ObjectStore(store_url)
    first = store.put_if("k", b"1", None)
    with pytest.raises(ConflictError):
        store.put_if("k", b"2", None)
    second = store.put_if("k", b"3", first)
    with pytest.raises(ConflictError):
        store.put_if("k", b"4", first)
    assert store.get("k") == (b"3", second) and store.get("none") is None
    store.delete(["k", "none"])
    assert store.list("") == []


def test_file_that_is_gone(lake, store_url):
    lake.commit_arrow(VECTORS, [batch("a")])
    ObjectStore(store_url).delete([lake.version(VECTORS).files()[0].key])
    with pytest.raises(FileNotFoundError):
        lake.read_arrow(VECTORS)


def test_wide_table_is_read_by_columns(lake, object_store):
    rows = pa.Table.from_pylist(
        [{**dict.fromkeys(TRACKS.names), "track_id": str(number)} for number in range(10)],
        schema=TRACKS.arrow_schema(),
    )
    lake.commit_arrow(TRACKS, rows.to_batches())
    object_store.faults.requests.clear()
    assert lake.read_arrow(TRACKS, "track_id")["track_id"].to_pylist() == [str(n) for n in range(10)]
    assert len(object_store.faults.requests) <= 4  # manifest, footer (one or two reads), column
