"""The embedded MongoDB: acknowledged writes stay, one server per folder, none is left running."""

import itertools
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pymongo
import pytest
from pymongo.errors import PyMongoError

from jobs.errors import StepError
from jobs.online import mongo
from jobs.runtime import embedded_mongo, embedded_server

# Connects to the server of a folder, prints its address, stays connected until its stdin ends.
CONNECT = """
import pathlib, sys
from jobs.runtime import embedded_mongo, embedded_server
with embedded_mongo.embedded_mongo(pathlib.Path(sys.argv[1])) as uri:
    print(uri, flush=True)
    sys.stdin.read()
"""

Client = pymongo.MongoClient[dict[str, object]]


def server(data: Path) -> psutil.Process:
    """Return the server's JVM according to the state file."""
    return psutil.Process(json.loads((data / "mongo.json").read_text())["pid"])


def servers(data: Path) -> list[int]:
    """Return every JVM over this folder, whatever is in the state file."""
    marker = f"-Dsegue.mongo={data}"
    return [p.pid for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "mongo"
    for pid in servers(tmp_path / "mongo"):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def connect(data: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Return a function that starts another process which connects to the server."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", CONNECT, str(data)]
        root = Path(embedded_mongo.__file__).parents[2]
        started.append(subprocess.Popen(command, stdin=-1, stdout=-1, text=True, cwd=root))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def uri_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_writes_are_there_at_the_next_start(data: Path) -> None:
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        client["segue"]["tracks"].insert_one({"_id": "2", "title": "Food"})
    assert servers(data) == []
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        assert client["segue"]["tracks"].find_one() == {"_id": "2", "title": "Food"}


def test_server_listens_on_this_machine_only(data: Path) -> None:
    with embedded_mongo.embedded_mongo(data) as uri:
        port = int(uri.split(":")[2].split("/")[0])
        listening = [c.laddr for c in server(data).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        # Only the server: the py4j gateway is closed.
        assert [(address.ip.removeprefix("::ffff:"), address.port) for address in listening] == [
            ("127.0.0.1", port)
        ]


@pytest.mark.parametrize("after_s", [0.0, 1.5], ids=["at once", "during writes"])
def test_kill_loses_at_most_the_last_second_in_order(data: Path, after_s: float) -> None:
    """No write is missing while a later one is there."""
    acknowledged: list[tuple[float, int]] = []  # (time, number of the last write acknowledged by then)
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri, serverSelectionTimeoutMS=500) as client:
        kill = server(data).kill
        with pytest.raises(PyMongoError):
            for bulk in itertools.count():
                ids = range(20 * bulk, 20 * bulk + 20)
                writes = [pymongo.ReplaceOne({"_id": i}, {"text": "x" * 90}, upsert=True) for i in ids]
                client["segue"]["plays" if bulk % 2 else "profiles"].bulk_write(writes)
                acknowledged.append((time.monotonic(), 20 * bulk + 20))
                if bulk == 5:
                    threading.Timer(after_s, kill).start() if after_s else kill()
    killed = acknowledged[-1][0]
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        found = {
            d["_id"] for name in ("plays", "profiles") for d in client["segue"][name].find({}, {"_id": 1})
        }
    assert found == set(range(len(found)))
    # One second, because the machine may be busy. A store without periodic commits would lose everything.
    assert not after_s or len(found) >= max(number for at, number in acknowledged if at < killed - 1)
    assert not list(data.glob("*.damaged*"))


def test_find_over_a_collection_survives_compaction(data: Path) -> None:
    """More documents than H2's cache holds, in random order, so that it compacts for seconds afterwards."""
    count, rng = 20_000, random.Random(0)
    ids = iter(rng.sample(range(2**40), count))
    with embedded_mongo.embedded_mongo(data) as uri, mongo.database(uri) as database:
        mongo.upsert(
            database["x"], ({"_id": f"{i:016x}", **{f"field{k}": k / 2 for k in range(40)}} for i in ids)
        )
        for _ in range(15):
            assert sum(1 for _ in mongo.ids(database["x"])) == count


def test_kill_of_the_only_user_stops_the_server(
    data: Path, connect: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = connect()
    first = uri_of(process)
    assert len(servers(data)) == 1
    process.kill()
    assert wait_until(lambda: servers(data) == [])
    assert (data / "mongo.json").exists(), "the next process has to recognise the stale state"
    with embedded_mongo.embedded_mongo(data) as uri:
        assert uri != first
        with Client(uri) as client:
            client["segue"]["x"].insert_one({"_id": 1})


def test_abandoned_server_is_not_reused(data: Path, connect: Callable[[], "subprocess.Popen[str]"]) -> None:
    """It answers while it shuts down: every third command that came at once lost its write, or failed."""
    process = connect()
    first, java = uri_of(process), server(data)
    java.suspend()  # as if it had not noticed yet
    process.kill()
    process.wait()
    threading.Timer(1, java.resume).start()
    with embedded_mongo.embedded_mongo(data) as uri:
        assert uri != first and java.pid not in servers(data)


def test_write_acknowledged_during_shutdown_stays(data: Path) -> None:
    for _ in range(3):
        with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
            before = client["segue"]["x"].count_documents({})
            acknowledged = before
            threading.Timer(0.5, server(data).terminate).start()
            with suppress(PyMongoError):
                while True:
                    client["segue"]["x"].insert_one({"_id": acknowledged})
                    acknowledged += 1
        with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
            assert before < acknowledged <= client["segue"]["x"].count_documents({})


def test_stale_state_with_another_program_on_its_port(data: Path) -> None:
    with embedded_mongo.embedded_mongo(data):
        pass
    with socket.create_server(("127.0.0.1", 0)) as other:
        stale = f"mongodb://127.0.0.1:{other.getsockname()[1]}/segue"
        (data / "mongo.json").write_text(json.dumps({"uri": stale, "pid": os.getpid()}))
        with embedded_mongo.embedded_mongo(data) as uri:
            assert uri != stale


def test_second_process_shares_the_server_of_the_first(
    data: Path, connect: Callable[[], "subprocess.Popen[str]"]
) -> None:
    first = connect()
    uri = uri_of(first)
    with embedded_mongo.embedded_mongo(data) as shared:
        assert shared == uri
        first.communicate("")  # it disconnects; the server stays for this process
        with Client(shared) as client:
            client["segue"]["x"].insert_one({"_id": 1})
    assert servers(data) == []


def test_first_to_disconnect_leaves_the_server_running(
    data: Path, connect: Callable[[], "subprocess.Popen[str]"]
) -> None:
    with embedded_mongo.embedded_mongo(data) as uri:
        other = connect()
        assert uri_of(other) == uri
        other.communicate("")
        with Client(uri) as client:
            client["segue"]["x"].insert_one({"_id": 1})


def test_small_write_just_before_the_stop_stays(data: Path) -> None:
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        client["segue"]["x"].insert_many([{"_id": number} for number in range(10)])
    for number in range(3):
        with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
            client["segue"]["x"].delete_one({"_id": number})
        with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
            assert client["segue"]["x"].count_documents({}) == 9 - number


def test_three_processes_at_once_share_one_server(
    data: Path, connect: Callable[[], "subprocess.Popen[str]"]
) -> None:
    processes = [connect() for _ in range(3)]
    uris = {uri_of(process) for process in processes}
    assert len(uris) == len(servers(data)) == 1


def test_server_that_does_not_answer_is_restarted(
    data: Path, connect: Callable[[], "subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_server, "ANSWER_LIMIT_S", 1)
    monkeypatch.setattr(embedded_server, "_STOP_LIMIT_S", 1)
    first = uri_of(connect())
    frozen = server(data)
    frozen.suspend()  # its port stays open
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        assert uri != first
        assert client["segue"]["x"].count_documents({}) == 0
        assert servers(data) == [server(data).pid] != [frozen.pid]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:4096], lambda b: b"\xff" * len(b)], ids=["cut", "overwritten"]
)
def test_damaged_store_is_renamed(
    data: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        for start in range(0, 1000, 100):
            client["segue"]["x"].insert_many(
                [{"_id": start + i, "text": os.urandom(500).hex()} for i in range(100)]
            )
    store = data / "segue.mv.db"
    broken = damage(store.read_bytes())
    store.write_bytes(broken)
    with (
        caplog.at_level(logging.WARNING, "segue"),
        embedded_mongo.embedded_mongo(data) as uri,
        Client(uri) as client,
    ):
        assert client["segue"]["x"].count_documents({}) == 0
        client["segue"]["x"].insert_one({"_id": 1})
    assert (data / "segue.mv.db.damaged-1").read_bytes() == broken
    assert [record.message.count("segue.mv.db.damaged-1") for record in caplog.records] == [1]


def test_store_locked_by_another_program_is_not_damaged(
    data: Path, connect: Callable[[], "subprocess.Popen[str]"]
) -> None:
    uri_of(connect())
    (data / "mongo.json").unlink()  # as if it ran on another machine over the same disk
    with (
        pytest.raises(StepError, match="expected the embedded MongoDB to start, found .*locked"),
        embedded_mongo.embedded_mongo(data),
    ):
        pass
    assert not list(data.glob("*.damaged*"))


def test_output_of_a_java_that_does_not_start_is_quoted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_mongo, "_JAVA_OPTIONS", ["-Xmx1k"])
    with pytest.raises(StepError, match="found Java printing: .* maximum heap; its log .* ends: ") as caught:
        embedded_mongo.embedded_mongo(data).__enter__()
    assert "\n" not in str(caught.value)


def test_failed_start_shows_the_end_of_the_log(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        embedded_mongo, "_JAVA_OPTIONS", [*embedded_mongo._JAVA_OPTIONS, "-XX:MaxMetaspaceSize=6m"]
    )
    with pytest.raises(StepError, match="its log .* ends: .*OutOfMemoryError") as caught:
        embedded_mongo.embedded_mongo(data).__enter__()
    assert "\n" not in str(caught.value)


def test_start_that_hangs_times_out(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_server, "START_LIMIT_S", 0.01)
    with pytest.raises(StepError, match="found nothing after 0.01 s"):
        embedded_mongo.embedded_mongo(data).__enter__()
    assert servers(data) == []


def test_address_of_a_real_server_is_returned_unchanged(tmp_path: Path) -> None:
    with embedded_mongo.mongo_uri("mongodb://db.example/segue", tmp_path) as uri:
        assert uri == "mongodb://db.example/segue"
    assert list(tmp_path.iterdir()) == []


def test_documents_are_written_whether_new_or_stored(data: Path) -> None:
    """600 documents are three bulks; the second one has documents that exist."""
    with embedded_mongo.embedded_mongo(data) as uri, mongo.database(uri) as database:
        stored = [{"_id": str(number), "value": "old", "other": 1} for number in range(260, 270)]
        assert mongo.upsert(database["a"], stored) == 10
        new = [{"_id": str(number), "value": "new"} for number in range(600)]
        assert mongo.upsert(database["a"], new, mostly_new=True) == 600
        assert sorted(database["a"].find(), key=lambda document: int(document["_id"])) == new
