"""Arguments that cannot be used, and vectors that are of another embedder."""

import pyarrow as pa
import pytest

from jobs.cli import parse
from jobs.errors import InputError, StepError
from jobs.lake.schemas import EMBEDDERS, VECTORS
from jobs.lake.storage import Lake
from jobs.steps import cluster, embed
from tests import synthetic_features


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--seeds", 0, "at least 1"),
        ("--iterations", 0, "at least 1"),
        ("--seed", -1, "0 to 4294967294"),
        ("--seed", 4294967295, "0 to 4294967294"),
    ],
)
def test_number_out_of_range_is_refused(tmp_path, option, value, expected):
    lake = Lake(tmp_path)
    vector = {"track_id": "1", "embedding": [1.0], "embedder_id": "e"}
    lake.commit_arrow(VECTORS, pa.Table.from_pylist([vector], schema=VECTORS.arrow_schema()).to_batches())
    with pytest.raises(InputError, match=f"{option}: expected {expected}, found {value}"):
        cluster.main(parse(["cluster", option, str(value), "--lake", str(tmp_path)]))


@pytest.mark.slow
def test_vectors_of_another_embedder_are_refused_until_embed(tmp_path, monkeypatch):
    """`embed` is killed between EMBEDDERS and VECTORS; then it runs with the arguments of the old VECTORS."""

    def write_vectors(master, lake, inputs, embedder):
        rows = [
            {"embedder_id": inputs.embedder_id, "track_id": track_id, "embedding": [1.0]}
            for track_id, _ in inputs.training.keys
        ]
        lake.commit_arrow(VECTORS, pa.Table.from_pylist(rows, schema=VECTORS.arrow_schema()).to_batches())

    def kill(*_):
        raise KeyboardInterrupt

    lake = Lake(tmp_path)
    synthetic_features.write(lake)
    lake_option = ("--lake", str(tmp_path))
    monkeypatch.setattr(embed, "_write_vectors", write_vectors)
    first = embed.main(parse(["embed", *lake_option])).counts
    assert first["new"] == len(lake.read_arrow(VECTORS))
    assert embed.main(parse(["embed", *lake_option])).counts["new"] == 0
    monkeypatch.setattr(embed, "_write_vectors", kill)
    with pytest.raises(KeyboardInterrupt):
        embed.main(parse(["embed", "--dimensions", "2", *lake_option]))
    with pytest.raises(StepError, match="VECTORS of the embedder in EMBEDDERS.*run `segue embed`"):
        cluster.main(parse(["cluster", *lake_option]))
    monkeypatch.setattr(embed, "_write_vectors", write_vectors)
    assert embed.main(parse(["embed", *lake_option])).counts == first
    for table in (EMBEDDERS, VECTORS):
        embedder_ids = lake.read_arrow(table, "embedder_id")["embedder_id"].to_pylist()
        assert set(embedder_ids) == {first["embedder"]}
