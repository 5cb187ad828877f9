"""The player over a lake in an object store answers as over the same lake on a disk."""

from starlette.testclient import TestClient

from jobs.lake.schemas import TABLES
from jobs.lake.storage import Lake
from serving import app
from tests import synthetic_lake

AWAY = "mongodb://127.0.0.1:9/segue"


def answers(folder, store=None):
    application = app.create_app(folder, store=store, mongo=AWAY, kafka="127.0.0.1:9")
    with TestClient(application, base_url="http://127.0.0.1") as client:
        radio = {"track_id": "t00", "count": 5}
        return [
            client.get("/api/tracks", params={"limit": 50}).json(),
            client.get("/api/recommendations/default").json(),
            client.post("/api/radio", json=radio).json(),
            client.post("/api/events", json={"track_id": "t00", "event": "started"}).status_code,
        ]


def test_same_answers(tmp_path, store_url):
    disk = synthetic_lake.make(tmp_path / "disk")
    store = Lake(tmp_path / "state", store_url)
    for table in TABLES:
        if disk.version(table):
            store.commit_arrow(table, disk.iter_batches(table))
    expected = answers(disk.root)
    assert expected[0]["total"] == 40 and len(expected[2]["items"]) == 5
    assert answers(tmp_path / "state", store_url) == expected
    assert list((tmp_path / "state" / "spool").iterdir())
