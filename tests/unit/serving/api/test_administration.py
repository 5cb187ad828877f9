"""What admins see over HTTP."""

from datetime import UTC, datetime

from starlette.testclient import TestClient

from jobs.lake.schemas import REJECTS
from serving import app
from tests import synthetic_lake


def test_rejected_files_are_for_admins(tmp_path):
    lake = synthetic_lake.make(tmp_path / "lake", seconds=0.1)
    times = {"first_seen": datetime(2026, 11, 1, tzinfo=UTC), "attempts": 2, "content_hash": "0" * 64}
    rows = [
        {"path": f"/music/{name}.mp3", "step": "compress", "error": "expected audio, found text", **times}
        for name in ("a", "b\n")
    ]
    synthetic_lake.write_rows(lake, REJECTS, rows)
    application = app.create_app(lake.root, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
    with TestClient(application, base_url="http://127.0.0.1") as client:
        found = client.get("/api/rejected-files").json()
        assert found["total"] == 2 and found["items"][0]["reason"] == "expected audio, found text"
        assert {item["path"] for item in found["items"]} == {"/music/a.mp3", "/music/b\\n.mp3"}
        accounts = client.app.app.state.app_state.accounts
        accounts.add("anna", "a good password")
        token = {"Authorization": f"Bearer {accounts.add_app_password('anna', 'test').secret}"}
        assert client.get("/api/rejected-files", headers=token).status_code == 403
