"""The embedded MongoDB, a real one: what is acknowledged stays, one server per directory, none left behind."""

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

# Enters the directory, says the address, and stays until its stdin ends.
ENTER = """
import pathlib, sys
from jobs.runtime import embedded_mongo, embedded_server
with embedded_mongo.mongo(pathlib.Path(sys.argv[1])) as uri:
    print(uri, flush=True)
    sys.stdin.read()
"""

Client = pymongo.MongoClient[dict[str, object]]


def server(data: Path) -> psutil.Process:
    """The server's JVM, by the state file."""
    return psutil.Process(json.loads((data / "mongo.json").read_text())["pid"])


def servers(data: Path) -> list[int]:
    """Every JVM over this directory, whatever the state file says."""
    mark = f"-Dsegue.mongo={data}"
    return [p.pid for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
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
def enter(data: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Return a function that starts a process which enters the directory."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", ENTER, str(data)]
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


def test_what_is_written_is_there_the_next_time(data: Path) -> None:
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        client["segue"]["tracks"].insert_one({"_id": "2", "title": "Food"})
    assert servers(data) == []
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        assert client["segue"]["tracks"].find_one() == {"_id": "2", "title": "Food"}


def test_it_listens_on_this_machine_only(data: Path) -> None:
    with embedded_mongo.embedded_mongo(data) as uri:
        port = int(uri.split(":")[2].split("/")[0])
        listening = [c.laddr for c in server(data).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        # The server alone: the gateway that started it is closed.
        assert [(address.ip.removeprefix("::ffff:"), address.port) for address in listening] == [
            ("127.0.0.1", port)
        ]


@pytest.mark.parametrize("after_s", [0.0, 1.5], ids=["at once", "amid writes"])
def test_a_kill_of_the_server_takes_back_the_last_moment_and_no_more(data: Path, after_s: float) -> None:
    """What is found is what was there some milliseconds before: no write is missing amid others that are there."""
    acknowledged: list[tuple[float, int]] = []  # when the writes up to which number had been acknowledged
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
    # A second is long on a busy machine; what a store without a clock of its own loses is all.
    assert not after_s or len(found) >= max(upto for at, upto in acknowledged if at < killed - 1)
    assert not list(data.glob("*.damaged*"))


def test_a_find_over_all_outlasts_what_is_cleared_away_behind_it(data: Path) -> None:
    """More documents than H2's cache has room for, in no order, so that it clears up for seconds after they are written."""
    count, rng = 20_000, random.Random(0)
    ids = iter(rng.sample(range(2**40), count))
    with embedded_mongo.embedded_mongo(data) as uri, mongo.database(uri) as database:
        mongo.upsert(
            database["x"], ({"_id": f"{i:016x}", **{f"field{k}": k / 2 for k in range(40)}} for i in ids)
        )
        for _ in range(15):
            assert sum(1 for _ in mongo.ids(database["x"])) == count


def test_kill_of_python_leaves_no_server_and_the_next_starts_anew(
    data: Path, enter: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = enter()
    first = uri_of(process)
    assert len(servers(data)) == 1
    process.kill()
    assert wait_until(lambda: servers(data) == [])
    assert (data / "mongo.json").exists(), "the stale state that the next has to see through"
    with embedded_mongo.embedded_mongo(data) as uri:
        assert uri != first
        with Client(uri) as client:
            client["segue"]["x"].insert_one({"_id": 1})


def test_a_server_that_nobody_held_any_more_is_not_joined(
    data: Path, enter: Callable[[], "subprocess.Popen[str]"]
) -> None:
    """It may be ending, and answers while it does: every third command that came at once lost its write, or failed."""
    process = enter()
    first, java = uri_of(process), server(data)
    java.suspend()  # as one that has not come round to it yet
    process.kill()
    process.wait()
    threading.Timer(1, java.resume).start()
    with embedded_mongo.embedded_mongo(data) as uri:
        assert uri != first and java.pid not in servers(data)


def test_what_a_server_acknowledges_while_it_is_told_to_end_stays(data: Path) -> None:
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


def test_a_stale_state_with_somebody_else_on_its_port_is_recognised(data: Path) -> None:
    with embedded_mongo.embedded_mongo(data):
        pass
    with socket.create_server(("127.0.0.1", 0)) as other:
        stale = f"mongodb://127.0.0.1:{other.getsockname()[1]}/segue"
        (data / "mongo.json").write_text(json.dumps({"uri": stale, "pid": os.getpid()}))
        with embedded_mongo.embedded_mongo(data) as uri:
            assert uri != stale


def test_a_second_process_shares_the_server_and_outlives_the_first(
    data: Path, enter: Callable[[], "subprocess.Popen[str]"]
) -> None:
    first = enter()
    uri = uri_of(first)
    with embedded_mongo.embedded_mongo(data) as shared:
        assert shared == uri
        first.communicate("")  # it leaves first; the server stays for us
        with Client(shared) as client:
            client["segue"]["x"].insert_one({"_id": 1})
    assert servers(data) == []


def test_whoever_leaves_first_leaves_the_server_running(
    data: Path, enter: Callable[[], "subprocess.Popen[str]"]
) -> None:
    with embedded_mongo.embedded_mongo(data) as uri:
        guest = enter()
        assert uri_of(guest) == uri
        guest.communicate("")
        with Client(uri) as client:
            client["segue"]["x"].insert_one({"_id": 1})


def test_a_small_write_just_before_the_end_stays(data: Path) -> None:
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        client["segue"]["x"].insert_many([{"_id": number} for number in range(10)])
    for number in range(3):
        with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
            client["segue"]["x"].delete_one({"_id": number})
        with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
            assert client["segue"]["x"].count_documents({}) == 9 - number


def test_three_at_once_share_one_server(data: Path, enter: Callable[[], "subprocess.Popen[str]"]) -> None:
    processes = [enter() for _ in range(3)]
    uris = {uri_of(process) for process in processes}
    assert len(uris) == len(servers(data)) == 1


def test_a_server_that_does_not_answer_is_ended_and_started_again(
    data: Path, enter: Callable[[], "subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_server, "ANSWER_LIMIT_S", 1)
    monkeypatch.setattr(embedded_server, "_STOP_LIMIT_S", 1)
    first = uri_of(enter())
    frozen = server(data)
    frozen.suspend()  # its port stays open
    with embedded_mongo.embedded_mongo(data) as uri, Client(uri) as client:
        assert uri != first
        assert client["segue"]["x"].count_documents({}) == 0
        assert servers(data) == [server(data).pid] != [frozen.pid]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:4096], lambda b: b"\xff" * len(b)], ids=["cut", "overwritten"]
)
def test_a_damaged_store_is_set_aside(
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


def test_a_store_that_another_program_holds_is_no_damage(
    data: Path, enter: Callable[[], "subprocess.Popen[str]"]
) -> None:
    uri_of(enter())
    (data / "mongo.json").unlink()  # as if it ran on another machine over the same disk
    with (
        pytest.raises(StepError, match="expected the embedded MongoDB to start, found .*locked"),
        embedded_mongo.embedded_mongo(data),
    ):
        pass
    assert not list(data.glob("*.damaged*"))


def test_a_java_that_does_not_start_is_quoted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_mongo, "_JAVA_OPTIONS", ["-Xmx1k"])
    with pytest.raises(StepError, match="found Java saying: .* maximum heap; its log .* ends: ") as caught:
        embedded_mongo.embedded_mongo(data).__enter__()
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        embedded_mongo, "_JAVA_OPTIONS", [*embedded_mongo._JAVA_OPTIONS, "-XX:MaxMetaspaceSize=6m"]
    )
    with pytest.raises(StepError, match="its log .* ends: .*OutOfMemoryError") as caught:
        embedded_mongo.embedded_mongo(data).__enter__()
    assert "\n" not in str(caught.value)


def test_a_start_that_hangs_is_bounded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_server, "START_LIMIT_S", 0.01)
    with pytest.raises(StepError, match="found nothing after 0.01 s"):
        embedded_mongo.embedded_mongo(data).__enter__()
    assert servers(data) == []


def test_an_address_of_a_real_server_is_used_as_it_is(tmp_path: Path) -> None:
    with embedded_mongo.mongo_uri("mongodb://db.example/segue", tmp_path) as uri:
        assert uri == "mongodb://db.example/segue"
    assert list(tmp_path.iterdir()) == []
