"""Plays through the real broker and Spark into the store: nothing is lost or doubled by kill -9.

`SEGUE_KILLS=20` kills twenty times; the default is three, once each: driver, broker, store. With
`SEGUE_CORES=2` batches are processed on executors, which are killed as well.
"""

import dataclasses
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from jobs.lake.lake_version import VERSION_FILE
from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.model.embedding import l2_normalize
from jobs.online import mongo
from jobs.plays import events, play_log, simulator, spool, topics
from jobs.plays.events import PlayEvent
from jobs.plays.producer import Producer
from jobs.recommender import profiles
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server, stream_status
from tests import synthetic_features
from tests.services.conftest import SEGUE, environment
from tests.services.test_embedded_mongo import wait_until

KILLS = int(os.environ.get("SEGUE_KILLS", "3"))
CLUSTER = ("--master", "local-cluster[2,1,1024]", "--cores", "2")
OPTIONS = CLUSTER if os.environ.get("SEGUE_CORES") else ()
VICTIMS = ["driver", "broker", "store", "executor"] if OPTIONS else ["driver", "broker", "store"]
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
DEAD_LETTERS = 6  # of the first test


def embed(lake: Path, version: str, seed: int) -> None:
    """EMBEDDINGS of a model version over TRACKS: one direction per genre, so that what is alike is known."""
    rng = np.random.default_rng(seed)
    tracks = Lake(lake).read_arrow(TRACKS, "track_id").sort_by("track_id")["track_id"].to_pylist()
    vectors = l2_normalize(
        np.eye(synthetic_features.N_GENRES)[np.arange(len(tracks)) % synthetic_features.N_GENRES]
        + 0.1 * rng.standard_normal((len(tracks), synthetic_features.N_GENRES))
    )
    rows = [
        {
            "model_version": version,
            "track_id": track_id,
            "embedding": vector.tolist(),
            "cluster": number % synthetic_features.N_GENRES,
        }
        for number, (track_id, vector) in enumerate(zip(tracks, vectors, strict=True))
    ]
    old = Lake(lake).read_arrow(EMBEDDINGS)
    table = pa.concat_tables([old, pa.Table.from_pylist(rows, schema=EMBEDDINGS.arrow_schema())])
    Lake(lake).commit_arrow(EMBEDDINGS, table.to_batches())


def champion(lake: Path, version: str) -> None:
    with embedded_mongo.embedded_mongo(lake / "mongo") as uri, mongo.database(uri) as database:
        mongo.upsert(database["state"], [{"_id": "champion", "model_version": version, "digest": version}])


def store(lake: Path) -> dict[str, dict[str, mongo.Document]]:
    with embedded_mongo.embedded_mongo(lake / "mongo") as uri, mongo.database(uri) as database:
        names = ("plays", "profiles", "recommendations", "feedback")
        return {name: {document["_id"]: document for document in database[name].find()} for name in names}


def of(lake: Path, collection: str, key: str) -> mongo.Document | None:
    with embedded_mongo.embedded_mongo(lake / "mongo") as uri, mongo.database(uri) as database:
        return database[collection].find_one({"_id": key})


class Streaming:
    """The stream as a process of its own over one lake, which can be killed and started again."""

    def __init__(self, lake: Path) -> None:
        self.lake, self.process = lake, None

    def start(self, *options: str) -> None:
        (self.lake / "stream" / "status.json").unlink(missing_ok=True)
        log = (self.lake / "stream.out").open("ab")
        command = [SEGUE, "stream", *(options or OPTIONS)]
        self.process = subprocess.Popen(
            command, env=environment(self.lake), stdout=log, stderr=log, start_new_session=True
        )

    def ready(self) -> bool:
        if self.process.poll() not in (None, 0):
            raise AssertionError((self.lake / "stream.out").read_text()[-3000:])
        return stream_status.is_alive(self.lake)

    def kill(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        # Spark's JVM, not the broker's or the store's, which are in sessions of their own.
        spark = self.processes("pyspark-shell")
        self.process.kill()
        self.process.wait()
        for child in spark:
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def processes(self, word: str) -> list[psutil.Process]:
        """Return the stream's child processes with this word in their command."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if _has_word(child, word)]

    def stop(self) -> None:
        """Stop as supervisord does: the whole process group at once, Spark's JVM included."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            assert self.process.wait(60) == 0, (self.lake / "stream.out").read_text()[-3000:]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A lake with planted tracks and a model, its broker and its store running."""
    folder = tmp_path_factory.mktemp("stream") / "lake"
    synthetic_features.write(Lake(folder))
    embed(folder, "1", seed=1)
    champion(folder, "1")
    with embedded_kafka.kafka_address(None, folder), embedded_mongo.embedded_mongo(folder / "mongo"):
        yield folder


@pytest.fixture
def streaming(lake):
    running = Streaming(lake)
    try:
        yield running
    finally:
        running.kill()


def play(user: str, track: str, event: events.EventType, minute: float) -> PlayEvent:
    return PlayEvent(
        event_id=f"{user}-{track}-{event}-{minute}",
        user_id=user,
        track_id=track,
        event=event,
        position_s=30.0 if event == "finished" else 0.0,
        duration_s=30.0,
        played_at=BEGIN + timedelta(minutes=minute),
        session_id="s",
    )


def dead_letters(address: str) -> list[tuple[bytes, str]]:
    """Return value and reason of every message of plays.rejected."""
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    partition = TopicPartition(topics.DEAD_LETTERS, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    count = consumer.end_offsets([partition])[partition] - consumer.position(partition)
    letters = [
        (message.value, dict(message.headers)["error"].decode())
        for message in itertools.islice(consumer, count)
    ]
    consumer.close()
    return letters


def test_plays_are_applied_and_invalid_ones_dead_lettered(lake, streaming):
    address = embedded_kafka.find_embedded(lake)
    streaming.start()
    assert wait_until(streaming.ready, 90)
    with Producer(address, spool.spool_dir(lake)) as producer:
        for minute, (track, event) in enumerate(
            [("001", "started"), ("001", "finished"), ("006", "finished"), ("011", "disliked")]
        ):
            producer.send(play("ann", track, event, minute))
        producer.send(play("ann", "001", "finished", 1))  # the same event again
        assert producer.flush(30)
    assert wait_until(
        lambda: (found := of(lake, "feedback", "ann:011")) is not None and found["liked"] is False, 30
    )
    assert wait_until(
        lambda: (of(lake, "profiles", "ann") or {}).get("at") == BEGIN + timedelta(minutes=3), 30
    )
    tracks = {track.track_id: track for track in profiles.from_document(of(lake, "profiles", "ann")).tracks}
    assert (tracks["001"].started, tracks["001"].finished) == (1, 1)
    items = of(lake, "recommendations", "ann")["items"]
    # Numbers 1, 6, 11 ... are of one genre: those not played yet come first, the disliked one never.
    assert {int(item["track_id"]) % synthetic_features.N_GENRES for item in items[:4]} == {1}
    assert "011" not in {item["track_id"] for item in items} and items[0]["reason"].startswith(
        "sounds like artist "
    )

    largest = b"y" * (topics.MAX_MESSAGE - 200)
    bad = [b"not json", b"x" * (2 << 20), json.dumps({"event": 7}).encode(), largest[: topics.MAX_REJECTED]]
    raw = KafkaProducer(bootstrap_servers=address, max_request_size=topics.MAX_MESSAGE)
    for message in [*bad[:3], largest]:
        raw.send(topics.PLAYS, value=message, key=b"ann").get(30)
    in_five_hours = datetime.now(UTC) + timedelta(hours=5)
    ahead = dataclasses.replace(play("ann", "002", "started", 0), played_at=in_five_hours)
    unknown = play("ann", "nowhere", "started", 9)
    for event in (ahead, unknown):
        raw.send(topics.PLAYS, value=events.encode(event), key=b"ann").get(30)
    raw.close()
    champion(lake, "2")  # its tables are not in the lake yet: the stream stays with version 1
    embed(lake, "2", seed=2)
    with Producer(address, spool.spool_dir(lake)) as producer:
        producer.send(play("ben", "003", "finished", 5))
    assert wait_until(lambda: (of(lake, "recommendations", "ben") or {}).get("model_version") == "2", 30)
    letters = dead_letters(address)
    assert [value for value, _ in letters[:4]] == bad and len(letters) == DEAD_LETTERS
    assert [error.split(",")[0].split(" ahead")[0][:40] for _, error in letters] == [
        "expected a JSON object",
        "expected at most 16384 bytes",
        "event_id: expected this field",
        "expected at most 16384 bytes",
        "played_at: expected a time in the past",
        "track_id: expected a track of TRACKS",
    ]
    streaming.stop()
    assert {row["event_id"] for row in play_log.read(Lake(lake)).to_pylist()} == set(store(lake)["plays"])


def test_kill_9_loses_and_doubles_no_play(lake, streaming, tmp_path):
    """An undisturbed stream over the same messages, into another lake, writes the same, bit for bit."""
    address = embedded_kafka.find_embedded(lake)
    chance = random.Random(8)
    tracks = [f"{number:03d}" for number in range(synthetic_features.N_TRACKS)]
    genres = [number % synthetic_features.N_GENRES for number in range(len(tracks))]
    plays = list(
        simulator.simulate_plays(
            tracks, genres, [30.0] * len(tracks), users=12, events=300 * KILLS, seed=3, begin=BEGIN
        )
    )
    victims = VICTIMS * (KILLS // len(VICTIMS)) + chance.sample(VICTIMS, KILLS % len(VICTIMS))
    chance.shuffle(victims)
    streaming.start()
    assert wait_until(streaming.ready, 90)
    with Producer(address, spool.spool_dir(lake)) as producer:
        for number, event in enumerate(plays):
            producer.send(event)
            if number % 7 == 0:
                producer.send(event)
            time.sleep(0.004)
            if number % 300 == 150 and victims:
                time.sleep(chance.uniform(0, 0.5))
                _kill(victims.pop(), lake, streaming)
        assert wait_until(lambda: _revived(streaming) and producer.flush(2), 120)
    assert not victims
    event_ids = {event.event_id for event in plays}
    assert wait_until(lambda: _revived(streaming) and event_ids <= set(store(lake)["plays"]), 120)
    assert wait_until(lambda: stream_status.read(lake)["lag"] == 0, 30)
    time.sleep(1)
    streaming.stop()

    other = copied(lake, tmp_path / "undisturbed")
    command = [SEGUE, "stream", "--once", "--kafka", address]
    done = subprocess.run(command, env=environment(other), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = store(other)
    stored = store(lake)
    for documents in (expected, stored):
        documents["recommendations"].pop("ann", None)  # of the other test, by model version 1
    assert event_ids <= set(expected["plays"])
    assert stored == expected
    assert same_plays(lake, other)
    assert stored == on_executors(address, copied(lake, tmp_path / "executors"), len(expected["plays"]))
    assert same_plays(lake, tmp_path / "executors")
    assert len(dead_letters(address)) == DEAD_LETTERS  # not sent again by the other streams


def copied(lake: Path, other: Path) -> Path:
    """Return a lake with the same tracks and models, without plays."""
    for table in (TRACKS, EMBEDDINGS):
        shutil.copytree(lake / table.name, other / table.name, symlinks=True)
    shutil.copy(lake / VERSION_FILE, other)
    champion(other, "2")
    return other


def same_plays(lake: Path, other: Path) -> bool:
    order = [("event_id", "ascending")]
    return play_log.read(Lake(lake)).sort_by(order).equals(play_log.read(Lake(other)).sort_by(order))


def on_executors(address: str, lake: Path, n_plays: int) -> dict[str, dict[str, mongo.Document]]:
    """Return what a stream on executors writes, one of which is killed amid its batches."""
    streaming = Streaming(lake)
    streaming.start("--kafka", address, "--max-events", "100", *CLUSTER)
    try:
        assert wait_until(streaming.ready, 90)
        assert wait_until(lambda: n_stored(lake) > 0, 90)
        _kill_executor(streaming)
        assert n_stored(lake) < n_plays
        assert wait_until(lambda: streaming.ready() and n_stored(lake) == n_plays, 180)
        assert wait_until(lambda: stream_status.read(lake)["lag"] == 0, 60)
        streaming.stop()
    finally:
        streaming.kill()
    documents = store(lake)
    documents["recommendations"].pop("ann", None)
    return documents


def n_stored(lake: Path) -> int:
    with embedded_mongo.embedded_mongo(lake / "mongo") as uri, mongo.database(uri) as database:
        return mongo.count(database["plays"])


def _kill(victim: str, lake: Path, streaming: Streaming) -> None:
    if victim == "driver":
        streaming.kill()
        streaming.start()
        return
    if victim == "executor":
        _kill_executor(streaming)
        return
    program, folder = (
        (embedded_kafka.KAFKA, "kafka") if victim == "broker" else (embedded_mongo.MONGO, "mongo")
    )
    # It may still be down after the kill before; the stream starts it again.
    assert wait_until(lambda: _revived(streaming) and embedded_server.is_running(program, lake / folder), 60)
    os.kill(embedded_server.read_state(program, lake / folder)[1], signal.SIGKILL)
    if victim == "broker":  # `segue up` checks and restarts the broker; here the test does
        time.sleep(0.5)
        with embedded_kafka.kafka_address(None, lake):
            pass


def _has_word(process: psutil.Process, word: str) -> bool:
    with suppress(psutil.NoSuchProcess):  # Hadoop calls chmod now and then
        return any(word in argument for argument in process.cmdline())
    return False


def _kill_executor(streaming: Streaming) -> None:
    """Spark starts another one."""
    assert wait_until(lambda: _revived(streaming) and streaming.processes("ExecutorBackend"), 60)
    for executor in streaming.processes("ExecutorBackend")[:1]:
        with suppress(psutil.NoSuchProcess):
            executor.kill()


def _revived(streaming: Streaming) -> bool:
    """Start the stream again if it has ended, as supervisord does."""
    if streaming.process.poll() is not None:
        streaming.start()
    return True
