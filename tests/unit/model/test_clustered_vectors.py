"""The files of a version's vectors: whole or not at all, written once, shared, and as EMBEDDINGS has them."""

import numpy as np
import pytest

from jobs.lake.schemas import EMBEDDINGS
from jobs.lake.storage import Lake
from jobs.model import clustered_vectors
from jobs.model.clustered_vectors import open_vectors, save_settings
from jobs.model.embedding import l2_normalize
from jobs.model.search_index import ExactIndex, HNSWIndex, IndexSettings
from tests.synthetic_lake import write_rows

N_TRACKS = 60
VECTORS = l2_normalize(np.random.default_rng(0).standard_normal((N_TRACKS, 8)))


def write(lake, versions=("1", "2"), vectors=VECTORS):
    rows = [
        {
            "model_version": version,
            "track_id": f"{track:02d}",
            "embedding": vector,
            "cluster": 10 * (track % 3),
        }
        for version in versions
        for track, vector in enumerate(vectors.tolist())
    ]
    write_rows(lake, EMBEDDINGS, rows)


def folders(lake):
    return sorted(path.name for path in (lake.root / ".vectors").iterdir() if path.is_dir())


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "lake")
    write(lake)
    return lake


def test_rows_are_those_of_embeddings_by_cluster_and_mapped(lake):
    opened = open_vectors(lake, "1")
    tracks = [int(track_id) for track_id in opened.ids]
    assert tracks == sorted(range(N_TRACKS), key=lambda track: (track % 3, track))
    np.testing.assert_array_equal(opened.vectors, VECTORS[tracks])
    assert opened.clusters().tolist() == [10 * (track % 3) for track in tracks]
    assert isinstance(opened.vectors.base, np.memmap) and opened.settings is None
    assert [len(group) for group in np.split(opened.ids, opened.starts[1:-1])] == [20, 20, 20]


def test_files_are_written_once_and_anew_when_the_rows_change(lake):
    first, other = open_vectors(lake, "1"), open_vectors(lake, "2")
    inode = (first.folder / "vectors.npy").stat().st_ino
    write(lake)  # the same rows in another version of the table
    assert open_vectors(lake, "1").folder == first.folder
    assert (first.folder / "vectors.npy").stat().st_ino == inode
    write(lake, vectors=VECTORS[::-1])
    changed = open_vectors(lake, "1")
    assert folders(lake) == sorted([changed.folder.name, other.folder.name])
    np.testing.assert_array_equal(changed.vectors, VECTORS[::-1][[int(each) for each in changed.ids]])
    # Who maps the older files keeps them.
    np.testing.assert_array_equal(first.vectors, VECTORS[[int(each) for each in first.ids]])


def test_files_of_versions_without_rows_are_deleted(lake):
    for version in ("1", "2"):
        save_settings(lake, version, IndexSettings("exact"))
        open_vectors(lake, version)
    write(lake, versions=("2", "3"))
    newest = open_vectors(lake, "3")
    assert folders(lake) == sorted([newest.folder.name, open_vectors(lake, "2").folder.name])
    assert not (lake.root / ".vectors" / "1.json").exists() and (lake.root / ".vectors" / "2.json").exists()


def test_version_without_rows_has_no_vectors(lake):
    opened = open_vectors(lake, "7")
    assert len(opened.ids) == len(opened.vectors) == len(opened.sizes) == 0


@pytest.mark.parametrize("step", ["fsync_dir", "_write_vectors"])
def test_a_write_that_failed_is_done_again(lake, monkeypatch, step):
    def fail(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(clustered_vectors, step, fail)
        if step == "fsync_dir":
            in_memory = open_vectors(lake, "1")
            assert in_memory.folder is None and len(in_memory.ids) == N_TRACKS
            np.testing.assert_array_equal(in_memory.vectors, VECTORS[[int(each) for each in in_memory.ids]])
        else:
            with pytest.raises(OSError, match="no space"):
                open_vectors(lake, "1")
    assert (lake.root / ".vectors" / ".unfinished").exists()
    opened = open_vectors(lake, "1")
    assert folders(lake) == [opened.folder.name] and len(opened.ids) == N_TRACKS


def test_reader_that_may_not_write_holds_them_in_memory(lake):
    (lake.root / ".vectors").write_text("no folder, so that root may not write either")
    opened = open_vectors(lake, "1")
    assert opened.folder is None and len(opened.ids) == N_TRACKS


def test_index_is_the_one_chosen_for_the_version(lake):
    assert open_vectors(lake, "1").index.query(VECTORS[:1], 5).rows.shape == (1, 5)  # IVF by default
    save_settings(lake, "1", IndexSettings("exact"))
    assert isinstance(open_vectors(lake, "1").index, ExactIndex)
    save_settings(lake, "1", IndexSettings("hnsw", 50))
    opened = open_vectors(lake, "1")
    assert isinstance(opened.index, HNSWIndex) and HNSWIndex.is_saved(opened.folder)
    graph = (opened.folder / "graph.hnsw").stat().st_ino
    assert (open_vectors(lake, "1").folder / "graph.hnsw").stat().st_ino == graph
    (lake.root / ".vectors" / "1.json").write_text('{"of": "another version"}')
    assert open_vectors(lake, "1").settings is None
