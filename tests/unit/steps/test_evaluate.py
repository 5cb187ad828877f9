"""Labels of a file find their tracks by id, or by as much of a path as names one track alone; what is judged, beside whom."""

import numpy as np
import pyarrow as pa
import pytest

from jobs.cli import parse
from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.model import neural, registry
from jobs.model.metrics import Clusters
from jobs.steps import embed, evaluate
from jobs.steps.evaluate import read_labels
from tests import synthetic_features


@pytest.fixture
def lake(tmp_path):
    """Two albums with a `01.mp3` each."""
    lake = Lake(tmp_path / "lake")
    paths = {"2": "/music/rock/01.mp3", "3": "/music/folk/01.mp3", "5": "/music/folk/.hidden.mp3"}
    rows = [{"track_id": track_id, "path": path} for track_id, path in paths.items()]
    lake.commit_arrow(TRACKS, pa.Table.from_pylist(rows, schema=TRACKS.arrow_schema()).to_batches())
    return lake


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["track_id,genre,artist", "2,Rock,A"], {"2": ["Rock", "A"]}),
        (["path,genre", "rock/01.mp3,Rock", "./folk/01.mp3,Folk"], {"2": ["Rock", ""], "3": ["Folk", ""]}),
        (["path,genre", "/music/folk/.hidden.mp3,Folk", ".hidden.mp3,Folk"], {"5": ["Folk", ""]}),
        (["path,genre", "01.mp3,Rock", "rock/01.mp3,Rock"], {"2": ["Rock", ""]}),
    ],
)
def test_a_label_finds_its_track(lake, tmp_path, lines, found):
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(lines))
    assert read_labels(lake, str(file)) == found


@pytest.fixture
def network(models, monkeypatch):
    """Have planted tracks, and every version be a network that adds nothing."""
    synthetic_features.write(Lake(models))
    columns = MODEL_INPUT_COLUMNS["fma518+1"]
    values = np.array([[row[name] for name in columns] for row in synthetic_features.rows(0, noise=1.0)[1]])
    embedder, _ = embed.fit(values, columns, recipe="fma518", dimensions=8)
    nothing = tuple((np.zeros((8, 8)), np.zeros(8)) for _ in range(2))
    loaded = (
        neural.add_network(embedder, nothing),
        Clusters(embedder.apply(values)[: synthetic_features.GENRES], 1),
    )
    monkeypatch.setattr(registry, "load", lambda version: loaded)
    return ["--lake", str(models)]


@pytest.mark.parametrize("spelt", [lambda artist: "", str.upper])
def test_a_network_is_judged_on_what_it_never_saw_however_a_file_spells_the_artists(network, tmp_path, spelt):
    file = tmp_path / "labels.csv"
    tracks = synthetic_features.rows(0, noise=1.0)[0]
    lines = (f"{track['track_id']},Rock,{spelt(track['artist'])}\n" for track in tracks)
    file.write_text("track_id,genre,artist\n" + "".join(lines))
    evaluate.main(parse(["evaluate", "--labels", str(file), *network]))
    judged = registry.evaluation(registry.version(None))["model"]["judged_queries"]
    assert judged == sum(neural.cv_fold(track["artist"]) == "test" for track in tracks) > 0


def test_the_challenger_is_evaluated_beside_the_champion_and_without_one_the_newest(network):
    assert evaluate.main(parse(["evaluate", *network])).model_version == "3"
    registry.set_champion("2")
    registry.set_challenger("1")
    assert evaluate.main(parse(["evaluate", *network])).model_version == "1"
    assert registry.version("1").tags["evaluated_beside"] == "2"
    assert {"model", "champion"} < set(registry.evaluation(registry.version("1")))
