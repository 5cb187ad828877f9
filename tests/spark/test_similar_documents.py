"""The collection `similar`, written by workers that share the driver's folder, and by workers that do not."""

from dataclasses import replace

from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.model import clustered_vectors
from jobs.online import mongo, similar_documents
from jobs.runtime.embedded_mongo import embedded_mongo
from tests import synthetic_lake


def test_workers_without_the_drivers_folder_write_the_same(spark, tmp_path, store_url):
    shared = synthetic_lake.make(tmp_path / "shared", seconds=0.05)
    stored = Lake(tmp_path / "state", store_url)
    for table in (TRACKS, EMBEDDINGS):
        stored.commit_arrow(table, shared.read_arrow(table).to_batches())
    vectors = clustered_vectors.open_vectors(shared, "1")
    elsewhere = replace(vectors, folder=tmp_path / "missing" / vectors.folder.name)
    written = []
    with embedded_mongo(tmp_path / "mongo") as uri, mongo.database(uri) as database:
        for lake, opened in ((shared, vectors), (stored, elsewhere)):
            database["similar"].drop()
            n_done = spark.sparkContext.accumulator(0)
            similar_documents.write(spark, lake, uri, "1", opened, n_done)
            written.append({document["_id"]: document for document in database["similar"].find()})
            assert n_done.value == 40
    assert written[0] == written[1]
    neighbours = {item["track_id"] for item in written[0]["1:t00"]["items"][:4]}
    assert neighbours == {"t01", "t02", "t03", "t04"}
