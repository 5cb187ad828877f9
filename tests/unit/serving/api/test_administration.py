"""What admins see over HTTP."""

from datetime import UTC, datetime

from jobs.lake.schemas import REJECTS
from tests import synthetic_lake


def test_rejected_files_are_for_admins(serve, lake):
    times = {"first_seen": datetime(2026, 11, 1, tzinfo=UTC), "attempts": 2, "content_hash": "0" * 64}
    rows = [
        {"path": f"/music/{name}.mp3", "step": "compress", "error": "expected audio, found text", **times}
        for name in ("a", "b\n")
    ]
    synthetic_lake.write_rows(lake, REJECTS, rows)
    with serve(lake) as client:
        found = client.get("/api/rejected-files").json()
        assert found["total"] == 2 and found["items"][0]["reason"] == "expected audio, found text"
        assert {item["path"] for item in found["items"]} == {"/music/a.mp3", "/music/b\\n.mp3"}
        accounts = client.state.accounts
        accounts.add("anna", "a good password")
        token = {"Authorization": f"Bearer {accounts.add_app_password('anna', 'test').secret}"}
        assert client.get("/api/rejected-files", headers=token).status_code == 403
